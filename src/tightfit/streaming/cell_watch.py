"""The range of an LSTM's cell state, which no tensor of the graph holds, from what goes in and comes out.

Input and output of every step give all gates at once; only ``c ← f · c + i · g`` goes step by step.
Imported by the runtime's child process: NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tightfit.streaming.tensor_statistics import Watch

Values = npt.NDArray[np.float32]


class CellWatch(Watch):
    """Watches a layer's input and output, joined along the last axis, for its cell state.

    Args:
        weights: of the gates input, forget, cell, three times (units, depth + units), recurrent ones last.
        biases: three times (units,).
        clip: the largest absolute value of the cell state, infinite without a limit.
        keeps: whether a sample goes on from the states of the one before.
        detailed: whether histograms are wanted.
    """

    def __init__(
        self,
        weights: Sequence[Values],
        biases: Sequence[Values],
        clip: float = math.inf,
        *,
        keeps: bool = False,
        detailed: bool = True,
    ) -> None:
        super().__init__(detailed=detailed)
        self.weights, self.biases, self.clip, self.keeps = list(weights), list(biases), clip, keeps
        self.last: tuple[Values, Values] | None = None

    def update(self, values: npt.NDArray[Any]) -> None:
        """Takes in one sample: (batch, time, depth + units)."""
        joined = np.asarray(values, np.float32)
        states = cell_states(joined, self.weights, self.biases, self.clip, self.last)
        if self.keeps:
            self.last = joined[:, -1, -self.biases[0].size :].copy(), states[:, -1].copy()
        super().update(states)


def cell_states(
    joined: Values,
    weights: Sequence[Values],
    biases: Sequence[Values],
    clip: float = math.inf,
    last: tuple[Values, Values] | None = None,
) -> Values:
    """Return the cell state of every step, (batch, time, units).

    Args:
        joined: the input and the hidden state of every step, (batch, time, depth + units).
        weights: see ``CellWatch``.
        biases: see ``CellWatch``.
        clip: see ``CellWatch``.
        last: the hidden and the cell state before the first step, (batch, units); zero by default.

    Example:
        >>> zeros, bias = np.zeros((1, 2), np.float32), np.zeros(1, np.float32)
        >>> cell_states(np.ones((1, 2, 2), np.float32), [zeros] * 3, [bias, bias, bias + 9]).round(2).tolist()
        [[[0.5], [0.75]]]
    """
    units = biases[0].size
    before = joined.copy()
    before[:, 1:, -units:], before[:, 0, -units:] = joined[:, :-1, -units:], 0.0 if last is None else last[0]
    gates = [before @ w.T + b for w, b in zip(weights, biases, strict=True)]
    with np.errstate(over="ignore"):
        new, forget = (1 / (1 + np.exp(-gate)) for gate in gates[:2])
    added, state = new * np.tanh(gates[2]), np.zeros_like(gates[2][:, 0]) if last is None else last[1]
    states: Values = np.empty_like(added)
    for t in range(added.shape[1]):
        state = np.clip(forget[:, t] * state + added[:, t], -clip, clip)
        states[:, t] = state
    return states

"""Weights of a layer fitted by least squares to what it was meant to give.

    W' = argmin Σ |t − W'·x̃'|² + λ |W' − W|²

with x̃' = (x', 1) the input in the pruned graph, t the wanted output before its activation in the original
one, and W the weights that the layer would have kept. Sums are streamed, so only K × K numbers are held.

Source: He, Zhang and Sun 2017, "Channel Pruning for Accelerating Very Deep Neural Networks", section 3.1.
Departures: the pull λ towards the old weights instead of towards zero, so that few samples do no harm.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.channel_moments import Matrix
from tightfit.recovery.moments import Window, vectors

Rows = npt.NDArray[np.float32]

_PULL: Final = 1e-3


class Fit:
    """The sums of one layer's least squares.

    Args:
        window: how the layer walks over its input.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.moments: Matrix | None = None
        self.cross: Matrix | None = None
        self.count = 0

    def update(self, given: Rows, wanted: Rows) -> None:
        """Adds one sample: the input's rows, see ``extended``, and the outputs wanted for them.

        Args:
            given: (rows, K + 1), or (channels, rows, K + 1) for depthwise.
            wanted: (rows, outputs), or (channels, rows, 1).
        """
        moments = (given.swapaxes(-1, -2) @ given).astype(np.float64)
        cross = (given.swapaxes(-1, -2) @ wanted).astype(np.float64)
        self.moments = moments if self.moments is None else self.moments + moments
        self.cross = cross if self.cross is None else self.cross + cross
        self.count += given.shape[-2]

    def solve(self, weights: Matrix, *, bias: bool = True) -> Matrix:
        """Gives the fitted weights, (outputs, K + 1) or (channels, 1, K + 1), the bias last.

        Args:
            weights: what the layer would have kept, in that shape. bias: whether the layer has one.
        """
        assert self.moments is not None and self.cross is not None  # noqa: S101, PT018 - updated before
        moments, cross, start = self.moments, self.cross, weights
        if not bias:
            moments, cross, start = moments[..., :-1, :-1], cross[..., :-1, :], weights[..., :-1]
        size = moments.shape[-1]
        scale = np.trace(moments, axis1=-2, axis2=-1)[..., None, None] / size
        pull = _PULL * np.maximum(scale, 1e-12) * np.eye(size)
        fitted = np.linalg.solve(moments + pull, cross + pull @ start.swapaxes(-1, -2)).swapaxes(-1, -2)
        if not bias:
            fitted = np.concatenate([fitted, weights[..., -1:]], -1)
        return np.asarray(fitted)


def extended(values: Rows, window: Window) -> Rows:
    """Gives the rows that meet the weights, a one at their end: ([channels,] rows, K + 1)."""
    found = vectors(values, window)
    return np.concatenate([found, np.ones((*found.shape[:-1], 1), np.float32)], -1)

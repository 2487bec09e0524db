"""UNIDIRECTIONAL_SEQUENCE_LSTM: the places of its inputs, and the ops of a layer that begins from zero.

The kernel keeps its last states in two variables, from which the next call would go on. A layer without
memory between calls therefore writes zeros to them before: a slice of the input times zero, which follows a
free batch and which no runtime computes beforehand.

    i, f, o = σ(W x + R h + b)    g = tanh(W x + R h + b)    c ← f · c + i · g    h = o · tanh(c)

Source: ``unidirectional_sequence_lstm.cc`` and ``lstm_eval.cc`` of LiteRT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.ir import Op, Tensor

KIND: Final = "UNIDIRECTIONAL_SEQUENCE_LSTM"
INPUT_WEIGHTS: Final = (1, 2, 3, 4)
RECURRENT_WEIGHTS: Final = (5, 6, 7, 8)
BIASES: Final = (12, 13, 14, 15)
"""Of the gates in the order input, forget, cell, output."""

HIDDEN: Final = 18
CELL: Final = 19
"""The variables."""

_COUNT: Final = 24
_UNUSUAL: Final = (9, 10, 11, 16, 17, 20, 21, 22, 23)
"""Peepholes, projection and normalization."""

_TANH: Final = 4
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Gates:
    """The weights of one layer, the gates in the order input, forget, cell, output.

    Args:
        weights: of the input, four times (units, depth).
        recurrent: of the hidden state, four times (units, units).
        biases: four times (units,).
    """

    weights: tuple[Matrix, ...]
    recurrent: tuple[Matrix, ...]
    biases: tuple[Matrix, ...]

    @classmethod
    def of_rows(cls, weights: Matrix, recurrent: Matrix, bias: Matrix) -> Gates:
        """Return the gates of matrices that hold them below one another.

        Example:
            >>> rows = Gates.of_rows(*(np.zeros(s, np.float32) for s in ((8, 3), (8, 2), (8,))))
            >>> rows.weights[0].shape, rows.units
            ((2, 3), 2)
        """
        parts = (tuple(np.split(np.asarray(m, np.float32), 4)) for m in (weights, recurrent, bias))
        return cls(*parts)

    @property
    def units(self) -> int:
        """The number of values of the hidden state."""
        return int(self.recurrent[0].shape[1])


def layer_ops(x: Tensor, gates: Gates, result: Tensor) -> list[Op]:
    """Return the ops of a layer over whole sequences, whose states are zero at the start of each call.

    Args:
        x: the input, (batch, time, depth).
        gates: the weights.
        result: the hidden state of every step, (batch, time, units); the last op writes it.
    """
    name, batch = result.name, x.shape[0]
    first = Tensor(f"{name}/first", (batch, 1))
    zeros = _constant(f"{name}/zeros", np.zeros((1, gates.units), np.float32))
    states = [Tensor(f"{name}/{n}", (batch, gates.units), is_variable=True) for n in ("hidden", "cell")]
    resets = [Op("MUL", [first, zeros], [s], {"fusedActivationFunction": 0}, "MulOptions") for s in states]
    inputs: list[Tensor | None] = [None] * _COUNT
    inputs[0], inputs[HIDDEN], inputs[CELL] = x, *states
    for positions, arrays, word in (
        (INPUT_WEIGHTS, gates.weights, "weights"),
        (RECURRENT_WEIGHTS, gates.recurrent, "recurrent"),
        (BIASES, gates.biases, "bias"),
    ):
        for position, array, gate in zip(
            positions, arrays, ("input", "forget", "cell", "output"), strict=True
        ):
            inputs[position] = _constant(f"{name}/{gate}_{word}", array)
    options = {
        "fusedActivationFunction": _TANH, "cellClip": 0.0, "projClip": 0.0, "timeMajor": False,
        "asymmetricQuantizeInputs": False, "diagonalRecurrentTensors": False,
    }  # fmt: skip
    layer = Op(KIND, inputs, [result], options, "UnidirectionalSequenceLSTMOptions")
    return [_first_values(x, first), *resets, layer]


def _first_values(x: Tensor, first: Tensor) -> Op:
    """The first value of each sample, (batch, 1)."""
    places = [_constant(f"{first.name}/{n}", np.array(v, np.int32)) for n, v in
              (("begin", [0, 0, 0]), ("end", [x.shape[0], 1, 1]), ("steps", [1, 1, 1]))]  # fmt: skip
    options = {
        "beginMask": 1, "endMask": 1, "shrinkAxisMask": 2, "ellipsisMask": 0, "newAxisMask": 0,
        "offset": False,
    }  # fmt: skip
    return Op("STRIDED_SLICE", [x, *places], [first], options, "StridedSliceOptions")


def _constant(name: str, values: npt.NDArray[np.generic]) -> Tensor:
    data = np.ascontiguousarray(values)
    return Tensor(name, data.shape, data.dtype.name, data)


def is_written_state(tensor: Tensor) -> bool:
    """Return True for a variable that an op of the graph writes at every call, so that nothing is kept."""
    return tensor.is_variable and tensor.producer is not None


def starts_from_zero(op: Op) -> bool:
    """Return True for an LSTM whose states are set at every call, so that nothing is kept."""
    return all(is_written_state(op.operand(i)) for i in (HIDDEN, CELL))


def is_state(tensor: Tensor) -> bool:
    """Return True for a variable that only LSTMs use, as the state that they keep between calls."""
    uses = tensor.consumers
    return tensor.is_variable and all(op.kind == KIND and at in (HIDDEN, CELL) for op, at in uses)


def unlike_plain(op: Op) -> str | None:
    """Return why an LSTM is none with four gates and tanh; None where it is. Its cell may be clipped."""
    if any(op.input(i) is not None for i in _UNUSUAL):
        return "it has peepholes, a projection or normalization"
    if any(op.input(i) is None for i in (*INPUT_WEIGHTS, *RECURRENT_WEIGHTS, *BIASES)):
        return "it has coupled gates or lacks a bias"
    options = op.options
    if options.get("projClip") or options.get("fusedActivationFunction") != _TANH:
        return "it clips a projection, or its activation is not tanh"
    return None

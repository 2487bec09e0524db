"""Inputs whose columns have different units: they are brought to one size in float, before QUANTIZE.

A sensor vector of pascals, degrees and metres has one integer scale, that of the largest. Where the model
normalizes its input itself, these ops stay float. Where it does not, with ``f`` a power of two and ``m`` the
middle of a column, the input becomes ``x' = (x − m)·f`` and the layer that reads it

    W·x + b = (W·diag(1/f))·x' + (b + W·m).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.signatures import input_names
from tightfit.quantization.modes import Override
from tightfit.recovery.slices.standardize import factors
from tightfit.recovery.slices.tails import overrides_of

Vector = npt.NDArray[np.float64]

POOR_DB: Final = 20.0
"""A column that varies by less than ten roundings of the input's scale is poorly held."""

MOST_COLUMNS: Final = 1024
_STEPS: Final = 255.0
_ROWS: Final = 1000
_NORMALIZES: Final = frozenset({"SUB", "ADD", "MUL", "DIV"})
_READS: Final = frozenset({"FULLY_CONNECTED", "CONV_2D"})
_REASON: Final = "the columns of the input have different units, which one integer scale cannot hold"


@dataclass
class Columns:
    """What was seen of the entries of an input's last axis.

    Args:
        low: extremes.
        high: see ``low``.
        deviation: standard deviation of each entry.
    """

    low: Vector
    high: Vector
    deviation: Vector

    @classmethod
    def of(cls, arrays: Iterable[npt.NDArray[Any]]) -> Columns:
        """Return the columns of some samples of one input."""
        sums = ColumnSums()
        for array in arrays:
            sums.add(array)
        return sums.columns()

    def poor(self, steps: float = _STEPS) -> npt.NDArray[np.bool_]:
        """Return True for each column that varies, and that one scale of so many steps holds below 20 dB."""
        if not self.low.size:
            return np.zeros(0, bool)
        step = (max(float(self.high.max()), 0.0) - min(float(self.low.min()), 0.0)) / steps
        varies = self.deviation > 1e-6 * np.maximum(np.abs(self.low), np.abs(self.high))
        noise = step**2 / 12
        return np.asarray(varies & (np.square(self.deviation) < noise * 10 ** (POOR_DB / 10)))


class ColumnSums:
    """The columns of an input over samples, in constant memory.

    Example:
        >>> sums = ColumnSums()
        >>> sums.add(np.float32([[1, 10], [3, 10]]))
        >>> sums.columns().deviation.tolist()
        [1.0, 0.0]
    """

    def __init__(self) -> None:
        self.count = 0
        self.low = self.high = self.total = self.squares = np.zeros(0)

    def add(self, array: npt.NDArray[Any]) -> None:
        """Take in one sample; rows with NaN or infinity do not count."""
        rows = np.asarray(array).reshape(-1, array.shape[-1] if array.ndim else 1)
        # Of pictures every few positions are looked at: an odd step, as they are mostly of even width.
        step = len(rows) // _ROWS | 1 if len(rows) > _ROWS else 1
        rows = rows[::step].astype(np.float64)
        rows = rows[np.isfinite(rows).all(axis=1)]
        if not len(rows) or (self.count and rows.shape[1] != self.low.size):
            return
        found = rows.min(axis=0), rows.max(axis=0), rows.sum(axis=0), np.square(rows).sum(axis=0)
        if not self.count:
            self.low, self.high, self.total, self.squares = found
        else:
            self.low, self.high = np.minimum(self.low, found[0]), np.maximum(self.high, found[1])
            self.total, self.squares = self.total + found[2], self.squares + found[3]
        self.count += len(rows)

    def columns(self) -> Columns:
        """Return extremes and deviations."""
        count = max(self.count, 1)
        variance = self.squares / count - np.square(self.total / count)
        return Columns(self.low, self.high, np.sqrt(np.maximum(variance, 0.0)))


def poor_inputs(
    model: Model, samples: Sequence[Mapping[str, npt.NDArray[Any]]], steps: float = _STEPS
) -> dict[str, Columns]:
    """Return the float inputs that have a poor column, by name.

    Args:
        model: the float model.
        samples: inputs by name.
        steps: of an integer type: 255 for int8, 65,535 for int16.
    """
    found = {}
    for name, tensor in input_names(model).items():
        if tensor.dtype != "float32" or len(tensor.shape) < 2 or not 1 < tensor.shape[-1] <= MOST_COLUMNS:
            continue
        columns = Columns.of(s[name] for s in samples if name in s)
        if columns.poor(steps).any():
            found[name] = columns
    return found


def normalize(model: Model, poor: Mapping[str, Columns]) -> tuple[Model, tuple[Override, ...], list[str]]:
    """Return a model of the same function whose poor inputs are brought to one size in float.

    Returns:
        the copy, the overrides that keep these ops float, and the inputs for which there was no way.
    """
    twin = copy_model(model)
    ends, left = input_names(twin), list[str]()
    kept: dict[Op, None] = {}
    for name, columns in poor.items():
        chain = _chain(ends[name])
        if chain:
            kept |= dict.fromkeys(chain)
            continue
        made = _scaled(twin.main, ends[name], columns)
        if not made:
            left.append(name)
        kept |= dict.fromkeys(made)
    twin.main.validate()
    return twin, overrides_of(kept, "float", _REASON), left


def _chain(tensor: Tensor) -> list[Op]:
    """The ops that normalize an input with constants of its columns, in order."""
    found: list[Op] = []
    while len(tensor.consumers) == 1:
        op = tensor.consumers[0][0]
        constants = [t for t in op.inputs if t is not None and t.data is not None]
        if op.kind not in _NORMALIZES or len(constants) != 1:
            break
        found.append(op)
        tensor = op.outputs[0]
    vectors = [t for op in found for t in op.inputs if t is not None and t.data is not None and t.size > 1]
    return found if vectors else []


def _scaled(graph: Graph, tensor: Tensor, columns: Columns) -> list[Op]:
    """Puts ``(x − m)·f`` behind an input, its inverse into the layers that read it; none for others."""
    readers = [(op, place) for op, place in tensor.consumers]
    if (
        not readers
        or tensor in graph.outputs
        or not all(_foldable(op, place, tensor) for op, place in readers)
    ):
        return []
    padded = any(_pads(op) for op, _ in readers)
    found = factors(columns.low, columns.high, rectified=padded)
    if found is None:
        return []
    factor, offset = found[0].astype(np.float32), found[1].astype(np.float32)
    for op, _ in readers:
        _take_back(graph, op, factor, offset)
    return _put_behind(graph, tensor, (factor, offset), readers)


def _foldable(op: Op, place: int, tensor: Tensor) -> bool:
    weights, bias = op.input(1), op.input(2)
    if op.kind not in _READS or place != 0 or weights is None or weights.data is None:
        return False
    constant = bias is None or (bias.data is not None and bias.dtype == "float32")
    return constant and weights.dtype == "float32" and weights.shape[-1] == tensor.shape[-1]


def _pads(op: Op) -> bool:
    weights = op.input(1)
    return op.kind == "CONV_2D" and weights is not None and weights.shape[1:3] != (1, 1)


def _take_back(
    graph: Graph, op: Op, factor: npt.NDArray[np.float32], offset: npt.NDArray[np.float32]
) -> None:
    weights, bias = op.input(1), op.input(2)
    assert weights is not None  # noqa: S101 - _foldable saw it
    assert weights.data is not None  # noqa: S101 - _foldable saw it
    rows = weights.data.reshape(weights.shape[0], -1, weights.shape[-1]).astype(np.float64)
    moved = (rows * offset).sum(axis=(1, 2))
    before = np.zeros(weights.shape[0]) if bias is None or bias.data is None else bias.data.reshape(-1)
    name = f"{op.name}/bias" if bias is None else bias.name
    after = (before + moved).astype(np.float32)
    graph.set_input(
        op, 1, Tensor(weights.name, weights.shape, data=(weights.data / factor).astype(np.float32))
    )
    graph.set_input(op, 2, Tensor(name, after.shape, data=after))


def _put_behind(
    graph: Graph,
    tensor: Tensor,
    how: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
    readers: Sequence[tuple[Op, int]],
) -> list[Op]:
    factor, offset = how
    current, made = tensor, list[Op]()
    for kind, values, table in (("SUB", offset, "SubOptions"), ("MUL", factor, "MulOptions")):
        if (values == (0 if kind == "SUB" else 1)).all():
            continue
        target = Tensor(f"{tensor.name}/{kind.lower()}", tensor.shape, shape_signature=tensor.shape_signature)
        constant = Tensor(f"{tensor.name}/{kind.lower()}/values", values.shape, data=values)
        new = Op(kind, [current, constant], [target], {"fusedActivationFunction": 0}, table)
        graph.insert(len(made), new)
        made.append(new)
        current = target
    for op, place in readers:
        graph.set_input(op, place, current)
    return made

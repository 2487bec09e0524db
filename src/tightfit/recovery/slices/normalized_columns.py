"""Inputs whose columns have different units: they are brought to one size in float, before QUANTIZE.

A sensor vector of pascals, degrees and metres has one integer scale, that of the largest. Where the model
normalizes its input itself, these ops stay float. Where it does not, with ``f`` a power of two and ``m`` the
middle of a column, the input becomes ``x' = (x − m)·f`` and the layer that reads it

    W·x + b = (W·diag(1/f))·x' + (b + W·m).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.signatures import input_names
from tightfit.quantization.modes import Override
from tightfit.recovery.slices.standardize import factors
from tightfit.recovery.slices.tails import overrides_of
from tightfit.streaming.columns import INT8_STEPS, Columns

Vector = npt.NDArray[np.float64]


MOST_COLUMNS: Final = 1024


_NORMALIZES: Final = frozenset({"SUB", "ADD", "MUL", "DIV"})


_READS: Final = frozenset({"FULLY_CONNECTED", "CONV_2D"})


_NAMED: Final = 4
_REASON: Final = "the columns of the input have different units, which one integer scale cannot hold"


def poor_inputs(
    model: Model, samples: Sequence[Mapping[str, npt.NDArray[Any]]], steps: float = INT8_STEPS
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
        values = [s[name] for s in samples if name in s]  # none for a piece of an input
        columns = Columns.of(values)
        if values and columns.poor(steps).any():
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
        chain = normalizing_ops(ends[name])
        if chain:
            kept |= dict.fromkeys(chain)
            continue
        made = _scaled(twin.main, ends[name], columns)
        if not made:
            left.append(name)
        kept |= dict.fromkeys(made)
    twin.main.validate()
    return twin, overrides_of(kept, "float", _REASON), left


def normalizing_ops(tensor: Tensor) -> list[Op]:
    """Return the ops that normalize an input with constants of its columns, in order."""
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
        or not all(is_foldable(op, place, tensor) for op, place in readers)
    ):
        return []
    padded = any(pads(op) for op, _ in readers)
    found = factors(columns.low, columns.high, rectified=padded)
    if found is None:
        return []
    factor, offset = found[0].astype(np.float32), found[1].astype(np.float32)
    for op, _ in readers:
        _take_back(graph, op, factor, offset)
    return _put_behind(graph, tensor, (factor, offset), readers)


def is_foldable(op: Op, place: int, tensor: Tensor) -> bool:
    """Return True for a layer with constant weights that multiplies each column of a tensor by its own."""
    weights, bias = op.input(1), op.input(2)
    if op.kind not in _READS or place != 0 or weights is None or weights.data is None:
        return False
    constant = bias is None or (bias.data is not None and bias.dtype == "float32")
    return constant and weights.dtype == "float32" and weights.shape[-1] == tensor.shape[-1]


def pads(op: Op) -> bool:
    """Return True for a convolution that may add zeros around its input."""
    weights = op.input(1)
    return op.kind == "CONV_2D" and weights is not None and weights.shape[1:3] != (1, 1)


def _take_back(
    graph: Graph, op: Op, factor: npt.NDArray[np.float32], offset: npt.NDArray[np.float32]
) -> None:
    weights, bias = op.operand(1), op.input(2)
    rows = weights.values.reshape(weights.shape[0], -1, weights.shape[-1]).astype(np.float64)
    moved = (rows * offset).sum(axis=(1, 2))
    before = np.zeros(weights.shape[0]) if bias is None or bias.data is None else bias.data.reshape(-1)
    name = f"{op.name}/bias" if bias is None else bias.name
    after = (before + moved).astype(np.float32)
    graph.set_input(
        op, 1, Tensor(weights.name, weights.shape, data=(weights.values / factor).astype(np.float32))
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


def unheld_sentence(name: str, poor: npt.NDArray[np.bool_]) -> str:
    """Return what is left to the user where an input's columns keep different units."""
    places = np.flatnonzero(poor)
    listed = ", ".join(map(str, places[:_NAMED])) + (" …" if len(places) > _NAMED else "")
    columns = f"column{'' if len(places) == 1 else 's'} {listed} of input '{name}'"
    return (
        f"{columns}: one integer scale of all columns rounds them away, and nothing in the file mends that. "
        "Normalize the columns before the model, (x - mean) / deviation."
    )

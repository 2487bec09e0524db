"""An input whose columns have different units becomes several inputs, each with a scale of its own.

For devices that take integers only. Columns that one scale holds stay together; a column that hardly moves
about a large middle ``m`` is taken as ``x − m``. Behind the inputs each piece is brought to the size 1, where
its integers stay as they are, and joined,

    W·x + b = (W·diag(r))·join((xᵍ − mᵍ) / rᵍ) + (b + Σ Wᵍ·mᵍ),

and a normalization by constants goes into the weights too. Where the layers behind a normalization cannot
take it up, such as a convolution that adds zeros around its input, one MUL and one ADD of the joined pieces
take its place. Signature and metadata say how the input is divided (``graph.split_inputs``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.ops.activations import fused_activation
from tightfit.graph.passes.clean import remove_dead_ops
from tightfit.graph.signatures import input_names
from tightfit.graph.split_inputs import INPUTS_KEY, InputPiece, metadata_of_inputs
from tightfit.graph.split_outputs import Piece
from tightfit.recovery.slices.divided_outputs import Spread, divide
from tightfit.recovery.slices.normalized_columns import is_foldable, normalizing_ops, pads
from tightfit.streaming.columns import Columns

Vector = npt.NDArray[np.float64]

MOST_INPUTS: Final = 16


@dataclass(frozen=True)
class _Affine:
    """What a chain of constants does to each column: ``gain · x + shift``."""

    gain: Vector
    shift: Vector


def split_inputs(
    model: Model, poor: Mapping[str, Columns], decibels: float
) -> tuple[Model, dict[str, list[InputPiece]]]:
    """Return a model of the same function that takes some inputs in pieces, and these.

    Args:
        model: the float model; it is not changed.
        poor: the inputs whose columns have different units.
        decibels: ratio of a column's spread to its rounding that is allowed.

    Returns:
        the model itself and nothing where one of the inputs cannot be divided.
    """
    twin = copy_model(model)
    splits = {name: _split(twin, name, columns, decibels) for name, columns in poor.items()}
    if not splits or not all(splits.values()):
        return model, {}
    twin.metadata[INPUTS_KEY] = metadata_of_inputs(splits)
    remove_dead_ops(twin)
    twin.main.validate()
    return twin, splits


def _split(model: Model, name: str, columns: Columns, decibels: float) -> list[InputPiece]:
    tensor, graph = input_names(model)[name], model.main
    chain = normalizing_ops(tensor)
    end = chain[-1].outputs[0] if chain else tensor
    readers = list(end.consumers)
    affine = _composed(chain, tensor.shape[-1])
    if not readers or {tensor, end} & set(graph.outputs) or affine is None:
        return []
    shifts = _shifts(columns, decibels)
    folds = all(is_foldable(op, place, end) for op, place in readers)
    if folds and any(pads(op) for op, _ in readers):
        folds = not (shifts.any() or affine.shift.any())
    if not folds and not chain:
        return []
    pieces = _pieces(name, len(tensor.shape) - 1, columns, shifts, decibels)
    if not folds:
        pieces = [run for piece in pieces for run in _runs(piece)]
    if not 1 < len(pieces) <= MOST_INPUTS:
        return []
    ends = [_input_of(piece, tensor) for piece in pieces]
    sizes = _sizes(pieces, columns)
    joined = _join(graph, tensor, ends, sizes)
    if folds:
        for op, _ in readers:
            _read(graph, op, joined, (pieces, sizes), affine)
    else:
        _normalize(graph, joined, end, (pieces, sizes), affine)
    _replace_input(model, name, dict(zip((p.name for p in pieces), ends, strict=True)))
    return pieces


def _composed(chain: Sequence[Op], columns: int) -> _Affine | None:
    """The constants of a chain together; None where one of them is not one number a column."""
    gain, shift = np.ones(columns), np.zeros(columns)
    for op in chain:
        place = next(i for i, t in enumerate(op.inputs) if t is not None and t.data is not None)
        constant = _constant(op, place).reshape(-1)
        if constant.size not in (1, columns) or fused_activation(op) or (op.kind == "DIV" and place == 0):
            return None
        if op.kind == "SUB" and place == 0:
            gain, shift = -gain, constant - shift
        elif op.kind in ("ADD", "SUB"):
            shift = shift + (constant if op.kind == "ADD" else -constant)
        else:
            factor = constant if op.kind == "MUL" else 1.0 / constant
            gain, shift = gain * factor, shift * factor
    return _Affine(gain, shift)


def _constant(op: Op, place: int) -> Vector:
    return np.asarray(op.operand(place).values, np.float64)


def _shifts(columns: Columns, decibels: float) -> Vector:
    """Minus the middle of each column that no scale around zero holds, else 0; float32 numbers."""
    spread = Spread(columns.low, columns.high, columns.deviation)
    held = np.array([spread.holds([i], decibels) for i in range(len(columns.low))])
    middle = ((columns.low + columns.high) / 2).astype(np.float32)
    return np.where(held, 0.0, -middle.astype(np.float64))


def _pieces(name: str, axis: int, columns: Columns, shifts: Vector, decibels: float) -> list[InputPiece]:
    moved = Spread(columns.low + shifts, columns.high + shifts, columns.deviation)
    found = []
    for shift in np.unique(shifts).tolist():
        entries = np.flatnonzero(shifts == shift).tolist()
        found += [InputPiece(Piece(name, axis, g), shift) for g in divide(entries, moved, decibels)]
    return sorted(found, key=lambda piece: piece.entries.entries)


def _runs(piece: InputPiece) -> list[InputPiece]:
    """A piece in runs of neighbouring columns, so that all pieces together keep the order of the columns."""
    whole = piece.entries
    return [
        InputPiece(Piece(whole.output, whole.axis, tuple(range(*span))), piece.shift) for span in whole.spans
    ]


def _input_of(piece: InputPiece, whole: Tensor) -> Tensor:
    shape = [*whole.shape[:-1], len(piece.entries.entries)]
    free = whole.shape_signature
    signature = None if free is None else [*free[:-1], shape[-1]]
    return Tensor(piece.name, shape, whole.dtype, shape_signature=signature)


def _sizes(pieces: Sequence[InputPiece], columns: Columns) -> list[float]:
    """The largest magnitude of each piece."""
    found = []
    for piece in pieces:
        own = list(piece.entries.entries)
        ends = np.concatenate([columns.low[own], columns.high[own]]) + piece.shift
        found.append(float(np.float32(np.abs(ends).max(initial=0.0))) or 1.0)
    return found


def _join(graph: Graph, whole: Tensor, ends: Sequence[Tensor], sizes: Sequence[float]) -> Tensor:
    """The pieces brought to one size and joined, at the start of the graph."""
    parts = []
    for place, (tensor, size) in enumerate(zip(ends, sizes, strict=True)):
        made = Tensor(f"{tensor.name}/even", tensor.shape, shape_signature=tensor.shape_signature)
        factor = Tensor(f"{tensor.name}/factor", (), data=np.array(1 / size, np.float32))
        graph.insert(place, Op("MUL", [tensor, factor], [made], {"fusedActivationFunction": 0}, "MulOptions"))
        parts.append(made)
    joined = Tensor(f"{whole.name}/even", whole.shape, shape_signature=whole.shape_signature)
    options = {"axis": len(whole.shape) - 1, "fusedActivationFunction": 0}
    graph.insert(len(ends), Op("CONCATENATION", parts, [joined], options, "ConcatenationOptions"))
    return joined


def _read(
    graph: Graph, op: Op, joined: Tensor, how: tuple[Sequence[InputPiece], Sequence[float]], affine: _Affine
) -> None:
    """Lets a layer read the joined pieces instead of the input."""
    weights, bias = _constant(op, 1), op.input(2)
    start = np.zeros(weights.shape[0]) if bias is None or bias.data is None else bias.data.reshape(-1)
    order = [i for piece in how[0] for i in piece.entries.entries]
    shifts, reach = _of_columns(*how)
    rows = weights.reshape(weights.shape[0], -1, weights.shape[-1]).sum(axis=1)
    lifted = (start.astype(np.float64) + rows @ (affine.shift - affine.gain * shifts)).astype(np.float32)
    scaled = np.ascontiguousarray((weights * affine.gain * reach)[..., order], np.float32)
    name = op.operand(1).name
    graph.set_input(op, 0, joined)
    graph.set_input(op, 1, Tensor(name, scaled.shape, data=scaled))
    graph.set_input(op, 2, Tensor(f"{name}/bias", lifted.shape, data=lifted))


def _of_columns(pieces: Sequence[InputPiece], sizes: Sequence[float]) -> tuple[Vector, Vector]:
    """The shift and the size of each column, in the order of the whole input."""
    count = sum(len(piece.entries.entries) for piece in pieces)
    shifts, reach = np.zeros(count), np.ones(count)
    for piece, size in zip(pieces, sizes, strict=True):
        own = list(piece.entries.entries)
        shifts[own], reach[own] = piece.shift, size
    return shifts, reach


def _normalize(
    graph: Graph,
    joined: Tensor,
    end: Tensor,
    how: tuple[Sequence[InputPiece], Sequence[float]],
    affine: _Affine,
) -> None:
    """Lets the readers of a normalized input read the joined pieces, normalized by one MUL and one ADD."""
    shifts, reach = _of_columns(*how)
    place = len(how[0]) + 1
    for kind, values in (("MUL", affine.gain * reach), ("ADD", affine.shift - affine.gain * shifts)):
        constant = Tensor(
            f"{joined.name}/{kind.lower()}/values", values.shape, data=values.astype(np.float32)
        )
        made = Tensor(f"{joined.name}/{kind.lower()}", joined.shape, shape_signature=joined.shape_signature)
        options = {"fusedActivationFunction": 0}
        graph.insert(place, Op(kind, [joined, constant], [made], options, f"{kind.title()}Options"))
        joined, place = made, place + 1
    for op, at in list(end.consumers):
        graph.set_input(op, at, joined)


def _replace_input(model: Model, name: str, ends: Mapping[str, Tensor]) -> None:
    whole, graph = input_names(model)[name], model.main
    place = graph.inputs.index(whole)
    graph.inputs[place : place + 1] = ends.values()
    for signature in model.signatures:
        if signature.graph_index == 0 and name in signature.inputs:
            named = signature.inputs.copy()
            signature.inputs.clear()
            for key, tensor in named.items():
                signature.inputs.update(ends if key == name else {key: tensor})

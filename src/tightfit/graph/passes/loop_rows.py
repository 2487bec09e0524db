"""Rows that a loop's body writes into a tensor which it carries from turn to turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tightfit.graph.ir import Graph, Op, Tensor


@dataclass(frozen=True)
class RowWrite:
    """One row of a carried tensor is replaced at each turn, and the body reads no other.

    Args:
        value: the new row, (1, …), in the body.
        place: integers of the body, the first of which is the row's number.
        ops: what does it in the body.
    """

    value: Tensor
    place: Tensor
    ops: frozenset[Op]


def row_write(body: Graph, position: int) -> RowWrite | None:
    """Return how a body writes rows of the tensor that it carries at a position; None where it does not."""
    carried, result = body.inputs[position], body.outputs[position]
    op = result.producer
    if op is None or result.consumers or body.outputs.count(result) != 1:
        return None
    readers = {reader for reader, _ in carried.consumers}
    if op.kind == "DYNAMIC_UPDATE_SLICE" and op.input(0) is carried and readers == {op}:
        return _one_row(carried, op.operand(1), op.operand(2), frozenset({op}))
    if op.kind != "CONCATENATION" or len(op.inputs) != 3 or int(op.options.get("axis", 0)) != 0:
        return None
    before, value, after = (op.operand(i) for i in range(3))
    parts = [t.producer for t in (before, after) if t.producer is not None]
    slices = all(p.kind == "SLICE" and p.input(0) is carried for p in parts) and set(parts) == readers
    alone = all([reader for reader, _ in t.consumers] == [op] for t in (before, after))
    if len(parts) != 2 or not slices or not alone or not _is_zero(parts[0].operand(1)):
        return None
    return _one_row(carried, value, parts[0].operand(2), frozenset({op, *parts}))


def _one_row(carried: Tensor, value: Tensor, place: Tensor, ops: frozenset[Op]) -> RowWrite | None:
    fits = value.shape[:1] == (1,) and value.shape[1:] == carried.shape[1:]
    return RowWrite(value, place, ops) if fits else None


def _is_zero(tensor: Tensor) -> bool:
    return tensor.data is not None and not tensor.data.any()


def gathered(first: Tensor, rows: Mapping[int, Tensor], result: Tensor) -> Op:
    """Return the op that puts rows together.

    Args:
        first: the tensor before the loop; rows that were not written are its own, which must be known.
        rows: number → the row, (1, …).
        result: what the op writes.
    """
    parts = [rows[i] if i in rows else _row_of(first, i) for i in range(first.shape[0])]
    return Op(
        "CONCATENATION", parts, [result], {"axis": 0, "fusedActivationFunction": 0}, "ConcatenationOptions"
    )


def _row_of(tensor: Tensor, index: int) -> Tensor:
    data = np.ascontiguousarray(tensor.values[index : index + 1])
    return Tensor(f"{tensor.name}/row_{index}", data.shape, tensor.dtype, data, tensor.quantization)

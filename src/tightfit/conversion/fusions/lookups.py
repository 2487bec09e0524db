"""Look-ups in tables: what JAX writes as GATHER_ND with checks becomes GATHER, or EMBEDDING_LOOKUP.

JAX counts negative indices from the end and answers NaN outside of the table; both take ten ops, and a table
read by GATHER_ND is not stored in integers where the results are float. GATHER and EMBEDDING_LOOKUP fail the
call on an index outside of the table. EMBEDDING_LOOKUP reads rows of 8 or 4 bits, each with its own scale.
Source: ``gather.cc``, ``gather_nd.cc`` and ``embedding_lookup.cc`` of LiteRT.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.edits import constant, each_op, is_free_inside, only_reader, reshape_op

_RESHAPES: Final = frozenset({"RESHAPE", "EXPAND_DIMS"})


def fuse_lookups(model: Model) -> list[str]:
    """Write GATHER_ND by one index as GATHER, without the checks around it.

    Condition: the last dimension of the indices is 1 and was added by a reshape; a check goes when it
    compares the indices with 0 and the last row and gives NaN elsewhere.
    """
    return each_op(
        model,
        _fuse,
        "Wrote {} of checked look-up as GATHER; an index outside of the table fails the call.",
    )


def look_up_rows(model: Model) -> list[str]:
    """Write GATHER from a constant matrix of reals as EMBEDDING_LOOKUP.

    Condition: along the first axis, without batches, by int32 indices that are computed at run time.
    """
    return each_op(model, _look_up, "Wrote {} of look-up in a table as EMBEDDING_LOOKUP.")


def _fuse(graph: Graph, op: Op, kept: set[Tensor]) -> bool:
    table, indices = op.input(0), op.input(1)
    if op.kind != "GATHER_ND" or table is None or indices is None or indices.shape[-1:] != (1,):
        return False
    before = indices.producer
    ids = None if before is None or before.kind not in _RESHAPES else before.inputs[0]
    if ids is None or ids.shape != indices.shape[:-1] or ids.dtype != "int32" or not ids.shape:
        return False
    last = _checked(op, indices, table.shape[0], kept) or op
    result = last.outputs[0]
    if last is not op:
        graph.remove(op)
    place = graph.ops.index(last)
    graph.remove(last)
    source = _unwrapped(ids, table.shape[0]) if last is not op else ids
    options = {"axis": 0, "batchDims": 0}
    graph.insert(place, Op("GATHER", [table, source], [result], options, "GatherOptions"))
    return True


def _checked(op: Op, indices: Tensor, rows: int, kept: set[Tensor]) -> Op | None:
    """The SELECT behind a look-up that gives NaN where an index is outside of the table."""
    select = only_reader(op.outputs[0], kept)
    if select is None or select.kind not in ("SELECT", "SELECT_V2") or select.input(1) is not op.outputs[0]:
        return None
    condition, other = select.input(0), select.input(2)
    if other is None or other.data is None or not np.isnan(other.data).all() or condition is None:
        return None
    return select if _is_inside(condition, indices, rows) else None


def _is_inside(condition: Tensor, indices: Tensor, rows: int) -> bool:
    """True for a condition that holds for every index from 0 to the last row."""
    op = condition.producer
    while op is not None and op.kind in (*_RESHAPES, "REDUCE_ALL"):
        op = None if op.inputs[0] is None else op.inputs[0].producer
    if op is None:
        return False
    if op.kind == "LOGICAL_AND":
        return all(t is not None and _is_inside(t, indices, rows) for t in op.inputs)
    bound = op.input(1)
    if op.input(0) is not indices or bound is None or bound.data is None:
        return False
    holds = {
        "GREATER_EQUAL": lambda b: b <= 0,
        "LESS_EQUAL": lambda b: b >= rows - 1,
        "LESS": lambda b: b >= rows,
    }
    return op.kind in holds and bool(np.all(holds[op.kind](bound.data)))


def _unwrapped(ids: Tensor, rows: int) -> Tensor:
    """The indices before negative ones were counted from the end."""
    select = ids.producer
    if select is None or select.kind not in ("SELECT", "SELECT_V2"):
        return ids
    source = select.input(2)
    below = None if select.inputs[0] is None else select.inputs[0].producer
    added = None if select.inputs[1] is None else select.inputs[1].producer
    if source is None or below is None or added is None or (below.kind, added.kind) != ("LESS", "ADD"):
        return ids
    plain = below.inputs[0] is source and source in added.inputs
    zero = below.input(1)
    other = added.inputs[1] if added.inputs[0] is source else added.inputs[0]
    known = zero is not None and zero.data is not None and other is not None and other.data is not None
    if not plain or not known or np.any(zero.data != 0) or np.any(other.data != rows):  # type: ignore[union-attr]
        return ids
    return source


def _look_up(graph: Graph, op: Op, kept: set[Tensor]) -> bool:
    del kept
    table, ids = op.input(0), op.input(1)
    if op.kind != "GATHER" or table is None or ids is None or table.data is None or ids.is_constant:
        return False
    first = op.options.get("axis", 0) in (0, -2) and not op.options.get("batchDims", 0)
    if not first or len(table.shape) != 2 or table.dtype != "float32" or ids.dtype != "int32":
        return False
    if table.sparsity is not None or is_free_inside(ids) or not ids.shape:
        return False
    result, place = op.outputs[0], graph.ops.index(op)
    one = len(ids.shape) == 1
    front = -1 if -1 in (ids.shape_signature or ()) else math.prod(ids.shape)
    flat = ids if one else _freed(f"{ids.name}/line", (math.prod(ids.shape),), "int32", front)
    rows = result if one else _freed(f"{result.name}/rows", (*flat.shape, table.shape[1]), "float32", front)
    graph.remove(op)
    if flat is not ids:
        graph.insert(place, Op("RESHAPE", [ids, constant(f"{flat.name}/shape", [-1])], [flat],
                               {"newShape": [-1]}, "ReshapeOptions"))  # fmt: skip
        place += 1
    graph.insert(place, Op("EMBEDDING_LOOKUP", [flat, table], [rows]))
    if rows is not result:
        graph.insert(place + 1, reshape_op(rows, result))
    return True


def _freed(name: str, shape: tuple[int, ...], dtype: str, front: int) -> Tensor:
    return Tensor(name, shape, dtype, shape_signature=(front, *shape[1:]) if front < 0 else None)

"""Lowerings of look-ups by index: GATHER, GATHER_ND, EMBEDDING_LOOKUP, ONE_HOT.

Table and indices may each be equal for all samples (a constant or a variable) or differ between them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from tightfit.graph.ir import Op
from tightfit.training.lowering.batching import integers, own_shape, spread


def gather(op: Op, values: list[Any]) -> Any:
    """GATHER along an axis, within ``batchDims`` leading axes. Source: ``gather.cc``."""
    table, indices = values
    rank = len(table.shape) - 1
    axis = int(op.options.get("axis", 0)) % rank
    batches = int(op.options.get("batchDims", 0)) % max(len(indices.shape), 1)
    if batches == 0 and isinstance(indices, np.ndarray):
        return ops.take(table, indices, axis=axis + 1)
    if isinstance(indices, np.ndarray):
        indices = ops.convert_to_tensor(indices[None])
    if batches == 0 and table.shape[0] == 1:
        return _from_one_table(table, indices, axis)
    return _within_batches(spread([table, indices]), axis, batches)


def _from_one_table(table: Any, indices: Any, axis: int) -> Any:
    """Gather from a table that is equal for all samples, with indices that differ."""
    found = ops.take(table[0], indices, axis=axis)
    return ops.moveaxis(found, axis, 0)


def _within_batches(operands: list[Any], axis: int, batches: int) -> Any:
    """Gather for each sample (and each of its ``batches`` leading axes) from its own part of the table.

    With parts (N, before, places, after) and indices (N, m) this is one look-up in rows of before · after.
    """
    table, indices = operands
    shape, wanted = own_shape(table), own_shape(indices)[batches:]
    lead, before, after = shape[:batches], shape[batches:axis], shape[axis + 1 :]
    places = shape[axis]
    parts = ops.reshape(table, (-1, math.prod(before), places, math.prod(after)))
    rows = ops.reshape(ops.transpose(parts, (0, 2, 1, 3)), (-1, math.prod(before) * math.prod(after)))
    flat = ops.cast(ops.reshape(indices, (-1, math.prod(wanted))), "int32")
    starts = ops.expand_dims(ops.arange(ops.shape(flat)[0], dtype="int32") * places, 1)
    found = ops.take(rows, flat + starts, axis=0)
    found = ops.reshape(found, (-1, math.prod(wanted), math.prod(before), math.prod(after)))
    return ops.reshape(ops.transpose(found, (0, 2, 1, 3)), (-1, *lead, *before, *wanted, *after))


def gather_nd(_: Op, values: list[Any]) -> Any:
    """GATHER_ND: the last axis of the indices has the coordinates. Source: ``gather_nd.cc``."""
    table, indices = values
    shape = own_shape(table)
    depth = int(indices.shape[-1])
    rest = shape[depth:]
    flat = ops.reshape(table, (-1, math.prod(shape[:depth]), math.prod(rest)))
    strides = [math.prod(shape[i + 1 : depth]) for i in range(depth)]
    if isinstance(indices, np.ndarray):
        places = (indices * np.asarray(strides)).sum(-1)
        found = ops.take(flat, places.reshape(-1), axis=1)
        return ops.reshape(found, (-1, *places.shape, *rest))
    places = ops.sum(ops.cast(indices, "int32") * np.asarray(strides, np.int32), axis=-1)
    found = _within_batches(spread([flat, places]), 0, 0)
    return ops.reshape(found, (-1, *own_shape(places), *rest))


def embedding_lookup(_: Op, values: list[Any]) -> Any:
    """EMBEDDING_LOOKUP: rows of the table (second operand). Source: ``embedding_lookup.cc``."""
    indices, table = values
    if isinstance(indices, np.ndarray):
        return ops.expand_dims(ops.take(table, indices, axis=0), 0)
    return ops.take(table, indices, axis=0)


def one_hot(op: Op, values: list[Any]) -> Any:
    """ONE_HOT with its own values for on and off. Source: ``one_hot.cc``."""
    indices, depth, on, off = values
    rank = len(indices.shape) - 1
    axis = int(op.options.get("axis", -1)) % (rank + 1)
    flags = ops.one_hot(ops.cast(indices, "int32"), integers(depth)[0], axis=axis + 1, dtype="bool")
    return ops.where(flags, np.asarray(on).reshape(()), np.asarray(off).reshape(()))

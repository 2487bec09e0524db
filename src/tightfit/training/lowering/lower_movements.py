"""Lowerings of data-movement ops: shapes, axes, slices, paddings, joins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from tightfit.graph.ir import Op
from tightfit.training.lowering.batching import align, axis_of, fused, integers, own_shape, spread
from tightfit.types import Array


def reshape(op: Op, values: list[Any]) -> Any:
    """RESHAPE to the shape of the second operand, else of the options."""
    x = values[0]
    given = values[1] if len(values) > 1 and values[1] is not None else op.options.get("newShape")
    return ops.reshape(x, (-1, *_resolved(integers(given), math.prod(own_shape(x)))))


def _resolved(shape: list[int], size: int) -> list[int]:
    known = math.prod(d for d in shape if d != -1)
    return [size // max(known, 1) if d == -1 else d for d in shape]


def transpose(_: Op, values: list[Any]) -> Any:
    """TRANSPOSE by the order of the second operand."""
    x, order = values
    return ops.transpose(x, (0, *(axis_of(a, len(x.shape) - 1) for a in integers(order))))


def squeeze(op: Op, values: list[Any]) -> Any:
    """SQUEEZE: removes the given axes of size one, or all of them."""
    shape = own_shape(values[0])
    given = op.options.get("squeezeDims")
    named = [] if given is None else integers(given)
    gone = {a % len(shape) for a in named} if named else {i for i, d in enumerate(shape) if d == 1}
    return ops.reshape(values[0], (-1, *(d for i, d in enumerate(shape) if i not in gone)))


def expand_dims(_: Op, values: list[Any]) -> Any:
    """EXPAND_DIMS: adds an axis of size one."""
    x, axis = values
    return ops.expand_dims(x, axis_of(integers(axis)[0], len(x.shape)))


def shape(op: Op, values: list[Any]) -> Array:
    """SHAPE of one sample: known when the model is traced."""
    return np.asarray(own_shape(values[0]), np.int64 if op.options.get("outType") == 4 else np.int32)


def rank(_: Op, values: list[Any]) -> Array:
    """RANK of one sample."""
    return np.asarray(len(values[0].shape) - 1, np.int32)


def pack(op: Op, values: list[Any]) -> Any:
    """PACK: joins along a new axis."""
    axis = axis_of(int(op.options.get("axis", 0)), len(values[0].shape))
    return ops.stack(spread(values), axis)


def unpack(op: Op, values: list[Any]) -> list[Any]:
    """UNPACK: one output for each index of an axis, which is removed."""
    (x,) = values
    axis = axis_of(int(op.options.get("axis", 0)), len(x.shape) - 1)
    before = (slice(None),) * axis
    return [x[(*before, i)] for i in range(int(x.shape[axis]))]


def concatenation(op: Op, values: list[Any]) -> Any:
    """CONCATENATION along an axis."""
    axis = axis_of(int(op.options.get("axis", 0)), len(values[0].shape) - 1)
    return fused(op, ops.concatenate(spread(values), axis))


def split_evenly(op: Op, values: list[Any]) -> list[Any]:
    """SPLIT into as many equal pieces as there are outputs."""
    axis, x = values
    count = len(op.outputs)
    along = axis_of(integers(axis)[0], len(x.shape) - 1)
    return _pieces(x, along, [int(x.shape[along]) // count] * count)


def split_v(_: Op, values: list[Any]) -> list[Any]:
    """SPLIT_V into pieces of given sizes; −1 means the rest."""
    x, sizes, axis = values
    along = axis_of(integers(axis)[0], len(x.shape) - 1)
    total, wanted = int(x.shape[along]), integers(sizes)
    left = total - sum(s for s in wanted if s >= 0)
    return _pieces(x, along, [left if s < 0 else s for s in wanted])


def _pieces(x: Any, axis: int, sizes: list[int]) -> list[Any]:
    starts = np.cumsum([0, *sizes])
    before = (slice(None),) * axis
    return [x[(*before, slice(int(a), int(a) + s))] for a, s in zip(starts, sizes, strict=False)]


def slice_(_: Op, values: list[Any]) -> Any:
    """SLICE from ``begin``, of ``size`` (−1: to the end)."""
    x, begin, size = values
    pairs = zip(integers(begin), integers(size), strict=True)
    return x[(slice(None), *(slice(b, None if s < 0 else b + s) for b, s in pairs))]


def strided_slice(op: Op, values: list[Any]) -> Any:
    """STRIDED_SLICE with its five masks. Source: ``strided_slice_logic.h``."""
    x, begin, end, strides = values
    places = zip(integers(begin), integers(end), integers(strides), strict=True)
    index = [_place(op.options, i, *place) for i, place in enumerate(places)]
    rank_here = len(x.shape) - 1
    named = sum(1 for p in index if p is not None and p is not Ellipsis)
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index[at : at + 1] = [slice(None)] * (rank_here - named)
    return _indexed(x, index)


def _place(options: dict[str, Any], i: int, begin: int, end: int, stride: int) -> Any:
    """The Python index of one entry of begin, end and strides."""

    def mask(name: str) -> bool:
        return bool(int(options.get(name, 0) or 0) >> i & 1)

    if mask("ellipsisMask"):
        return Ellipsis
    if mask("newAxisMask"):
        return None
    if mask("shrinkAxisMask"):
        return begin
    end = begin + end if options.get("offset") else end
    return slice(None if mask("beginMask") else begin, None if mask("endMask") else end, stride)


def _indexed(x: Any, index: list[Any]) -> Any:
    """Index the axes after the batch; a negative stride, which torch refuses, is a look-up."""
    axis = 1
    for place in index:
        if isinstance(place, slice) and place.step is not None and place.step < 0:
            x = ops.take(x, np.arange(int(x.shape[axis]))[place], axis=axis)
        axis += place is not None
    plain = [slice(None) if isinstance(p, slice) and (p.step or 1) < 0 else p for p in index]
    return x[(slice(None), *plain)]


def pad(_: Op, values: list[Any]) -> Any:
    """PAD with zeros, PADV2 with its third operand."""
    x, widths = values[:2]
    pairs = [(0, 0), *(tuple(p) for p in np.asarray(widths).tolist())]
    value = float(np.asarray(values[2]).reshape(())) if len(values) > 2 else 0.0
    return ops.pad(x, pairs, constant_values=value) if value else ops.pad(x, pairs)


def mirror_pad(op: Op, values: list[Any]) -> Any:
    """MIRROR_PAD: reflects with (1) or without (0) the border."""
    x, widths = values
    mode = "symmetric" if int(op.options.get("mode", 0)) else "reflect"
    for axis, pair in enumerate(np.asarray(widths).tolist(), start=1):
        if any(pair):
            x = ops.take(x, np.pad(np.arange(int(x.shape[axis])), pair, mode), axis=axis)  # type: ignore[call-overload]
    return x


def tile(_: Op, values: list[Any]) -> Any:
    """TILE: repeats along each axis."""
    return ops.tile(values[0], (1, *integers(values[1])))


def broadcast_to(_: Op, values: list[Any]) -> Any:
    """BROADCAST_TO a shape."""
    x, wanted = values
    sizes = integers(wanted)
    (x, _like) = align([x, np.empty((1, *sizes))])
    return x * ops.ones((1, *sizes), x.dtype) if "float" in str(x.dtype) else _repeated(x, sizes)


def _repeated(x: Any, sizes: list[int]) -> Any:
    return ops.tile(x, (1, *(s // int(d) for s, d in zip(sizes, own_shape(x), strict=True))))


def reverse(_: Op, values: list[Any]) -> Any:
    """REVERSE_V2 along axes."""
    x, axes = values
    return ops.flip(x, tuple(axis_of(a, len(x.shape) - 1) for a in integers(axes)))

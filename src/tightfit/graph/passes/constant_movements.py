"""Constant evaluation of data-movement ops: reshapes, slices, gathers, pads. One row for each op.

They support every element type, quantized ones included, because no value changes.

Source: the kernels in ``tflite/kernels``; ``strided_slice.cc`` for the masks.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.graph.ir import Op
from tightfit.graph.passes.constant_ops import ConstantOp, Kernel, check_growth, require
from tightfit.types import Array


def _numbers(array: Array) -> list[int]:
    return [int(v) for v in array.reshape(-1)]


def _reshape(op: Op, arrays: list[Array]) -> Array:
    if len(arrays) > 1:
        return arrays[0].reshape(_numbers(arrays[1]))
    given = op.options.get("newShape")
    return arrays[0].reshape(op.outputs[0].shape if given is None else _numbers(np.asarray(given)))


def _transpose(_: Op, arrays: list[Array]) -> Array:
    return arrays[0].transpose(_numbers(arrays[1]))


def _expand_dims(_: Op, arrays: list[Array]) -> Array:
    return np.expand_dims(arrays[0], _numbers(arrays[1])[0])


def _squeeze(op: Op, arrays: list[Array]) -> Array:
    given = op.options.get("squeezeDims")
    dims = () if given is None else tuple(_numbers(np.asarray(given)))
    return arrays[0].squeeze(dims or None)


def _pack(op: Op, arrays: list[Array]) -> Array:
    return np.stack(arrays, op.options.get("axis", 0))


def _unpack(op: Op, arrays: list[Array]) -> list[Array]:
    return list(np.moveaxis(arrays[0], op.options.get("axis", 0), 0))


def _split(op: Op, arrays: list[Array]) -> list[Array]:
    axis, values = arrays
    return np.split(values, op.options.get("numSplits", 1), _numbers(axis)[0])


def _concatenation(op: Op, arrays: list[Array]) -> Array:
    require(not op.options.get("fusedActivationFunction", 0), "a fused activation")
    return np.concatenate(arrays, op.options.get("axis", 0))


def _slice(_: Op, arrays: list[Array]) -> Array:
    values, begin, size = arrays
    place = []
    for start, count, length in zip(_numbers(begin), _numbers(size), values.shape, strict=True):
        stop = length if count == -1 else start + count
        require(0 <= start <= stop <= length, "a slice out of range")
        place.append(slice(start, stop))
    return values[tuple(place)]


def _strided_slice(op: Op, arrays: list[Array]) -> Array:
    values, begin, end, strides = arrays
    ellipsis, new = op.options.get("ellipsisMask", 0), op.options.get("newAxisMask", 0)
    taken = sum(not (ellipsis | new) >> i & 1 for i in range(begin.size))
    place: list[int | slice | None] = []
    axis = 0
    for i in range(begin.size):
        if ellipsis >> i & 1:
            require(values.ndim > taken and ellipsis == 1 << i, "an ellipsis of no dimension")
            place += [slice(None)] * (values.ndim - taken)
            axis += values.ndim - taken
        elif new >> i & 1:
            place.append(None)
        else:
            place.append(_axis_slice(op, i, values.shape[axis], [int(v[i]) for v in (begin, end, strides)]))
            axis += 1
    return values[tuple(place)]


def _axis_slice(op: Op, position: int, length: int, numbers: list[int]) -> int | slice:
    """The slice of one axis: Python's slices clamp and count from the end as STRIDED_SLICE does."""
    begin, end, stride = numbers
    begin_masked, end_masked, shrinks = (
        op.options.get(name, 0) >> position & 1 for name in ("beginMask", "endMask", "shrinkAxisMask")
    )
    require(stride, "a stride of zero")
    if shrinks:
        index = 0 if begin_masked else begin
        require(stride > 0 and -length <= index < length, "an index out of range")
        return index
    start = None if begin_masked else begin
    if op.options.get("offset", False):
        end += slice(start, None, stride).indices(length)[0]
    return slice(start, None if end_masked else end, stride)


def _gather(op: Op, arrays: list[Array]) -> Array:
    values, indices = arrays
    require(not op.options.get("batchDims", 0), "batch dimensions")
    axis = op.options.get("axis", 0)
    require(-values.ndim <= axis < values.ndim, "an axis out of range")
    axis %= values.ndim
    inside = (indices >= 0) & (indices < values.shape[axis])
    require(inside.all(), "an index out of range")
    shape = values.shape[:axis] + indices.shape + values.shape[axis + 1 :]
    check_growth(arrays, shape, values.itemsize)
    return np.take(values, indices.astype(np.int64), axis)


def _tile(_: Op, arrays: list[Array]) -> Array:
    values, repeats = arrays[0], _numbers(arrays[1])
    check_growth(arrays, [d * r for d, r in zip(values.shape, repeats, strict=True)], values.itemsize)
    return np.tile(values, repeats)


def _broadcast_to(_: Op, arrays: list[Array]) -> Array:
    shape = _numbers(arrays[1])
    check_growth(arrays, shape, arrays[0].itemsize)
    return np.broadcast_to(arrays[0], shape)


def _broadcast_args(_: Op, arrays: list[Array]) -> Array:
    return np.asarray(np.broadcast_shapes(*(tuple(_numbers(a)) for a in arrays)), arrays[0].dtype)


def _fill(_: Op, arrays: list[Array]) -> Array:
    return _broadcast_to(_, [arrays[1].reshape(()), arrays[0]])


def _pad(op: Op, arrays: list[Array]) -> Array:
    values, widths = arrays[0], arrays[1].astype(np.int64)
    require((widths >= 0).all() and widths.shape == (values.ndim, 2), "paddings of another shape")
    shape = [d + int(w.sum()) for d, w in zip(values.shape, widths, strict=True)]
    check_growth(arrays, shape, values.itemsize)
    if op.kind == "MIRROR_PAD":
        symmetric = op.options.get("mode", 0) == 1
        longest = np.asarray(values.shape, np.int64)[:, None] - (not symmetric)
        require((widths <= longest).all(), "paddings longer than the mirror")
        return np.pad(values, widths, "symmetric" if symmetric else "reflect")
    return np.pad(values, widths, constant_values=arrays[2].flat[0] if len(arrays) > 2 else 0)


def _reverse(_: Op, arrays: list[Array]) -> Array:
    return np.flip(arrays[0], tuple(_numbers(arrays[1])))


_KERNELS: Final[dict[str, Kernel]] = {
    "BROADCAST_ARGS": _broadcast_args,
    "BROADCAST_TO": _broadcast_to,
    "CONCATENATION": _concatenation,
    "EXPAND_DIMS": _expand_dims,
    "FILL": _fill,
    "GATHER": _gather,
    "MIRROR_PAD": _pad,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "RESHAPE": _reshape,
    "REVERSE_V2": _reverse,
    "SLICE": _slice,
    "SPLIT": _split,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
}

MOVES: Final = {kind: ConstantOp(kernel, None) for kind, kernel in _KERNELS.items()}

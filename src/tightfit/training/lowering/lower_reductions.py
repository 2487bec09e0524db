"""Lowerings of reductions: sums, means, extremes, pools, the cumulative sum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from keras import ops

from tightfit.graph.ir import Op
from tightfit.training.lowering.batching import (
    axis_of,
    fused,
    integers,
    merge,
    own_shape,
    same_padding,
    split,
)

Pair = tuple[int, int]

_PADDING: Final = ("same", "valid")


def reduction(function: Callable[..., Any]) -> Callable[[Op, list[Any]], Any]:
    """Return the lowering of a reduction over the axes of the second operand."""

    def lower(op: Op, values: list[Any]) -> Any:
        x, axes = values
        rank = len(x.shape) - 1
        axis = tuple(sorted({axis_of(a, rank) for a in integers(axes)}))
        return function(x, axis=axis, keepdims=bool(op.options.get("keepDims"))) if axis else x

    return lower


def arg(function: Callable[..., Any]) -> Callable[[Op, list[Any]], Any]:
    """Return the lowering of ARG_MAX or ARG_MIN, which return the first of equal values."""

    def lower(op: Op, values: list[Any]) -> Any:
        x, axis = values
        found = function(x, axis=axis_of(integers(axis)[0], len(x.shape) - 1))
        return ops.cast(found, op.outputs[0].dtype)

    return lower


def top_k(op: Op, values: list[Any]) -> list[Any]:
    """TOPK_V2 over the last axis: values and their indices."""
    x, k = values
    found, places = ops.top_k(x, integers(k)[0])
    return [found, ops.cast(places, op.outputs[1].dtype)]


def max_pool(op: Op, values: list[Any]) -> Any:
    """MAX_POOL_2D. Source: ``pooling.cc``."""
    return _pool(op, values[0], ops.max_pool)


def average_pool(op: Op, values: list[Any]) -> Any:
    """AVERAGE_POOL_2D: the mean of the values in the window, without padding."""
    return _pool(op, values[0], _average)


def _average(x: Any, window: Pair, strides: Pair, padding: str, data_format: str) -> Any:
    """The mean over each window; padding is added here, because torch includes it in the mean."""
    if padding == "valid":
        return ops.average_pool(x, window, strides, "valid", data_format=data_format)
    padded = same_padding(x, window, strides, (1, 1))
    sums = ops.average_pool(padded, window, strides, "valid", data_format=data_format) * float(
        math.prod(window)
    )
    rows, columns = (_counts(int(x.shape[i + 1]), window[i], strides[i]) for i in (0, 1))
    return sums * ops.convert_to_tensor(1.0 / (rows[:, None, None] * columns[None, :, None]), x.dtype)


def _counts(size: int, window: int, stride: int) -> npt.NDArray[np.float32]:
    """The number of pixels of each window along one axis."""
    count = -(-size // stride)
    starts = np.arange(count) * stride - max((count - 1) * stride + window - size, 0) // 2
    return (np.minimum(starts + window, size) - np.maximum(starts, 0)).astype(np.float32)


def _pool(op: Op, x: Any, function: Callable[..., Any]) -> Any:
    options = op.options
    window = (int(options.get("filterHeight", 1)), int(options.get("filterWidth", 1)))
    strides = (int(options.get("strideH", 1)), int(options.get("strideW", 1)))
    padding = _PADDING[int(options.get("padding", 0))]
    y = function(merge(x), window, strides, padding, data_format="channels_last")
    return split(fused(op, y), own_shape(x)[0])


def cumsum(op: Op, values: list[Any]) -> Any:
    """CUMSUM, exclusive or reversed by its options. Source: ``cumsum.cc``."""
    x, axis = values
    along = axis_of(integers(axis)[0], len(x.shape) - 1)
    reverse = bool(op.options.get("reverse"))
    x = ops.flip(x, along) if reverse else x
    y = ops.cumsum(x, along)
    if op.options.get("exclusive"):
        y = y - x
    return ops.flip(y, along) if reverse else y


REDUCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "MEAN": ops.mean, "SUM": ops.sum, "REDUCE_PROD": ops.prod, "REDUCE_MAX": ops.max,
    "REDUCE_MIN": ops.min, "REDUCE_ANY": ops.any, "REDUCE_ALL": ops.all,
}  # fmt: skip

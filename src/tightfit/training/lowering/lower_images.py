"""Lowerings of image ops: resizing, and moving blocks of pixels between space, depth and batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from tightfit.graph.ir import Op
from tightfit.training.lowering.batching import integers, own_shape


def resize_bilinear(op: Op, values: list[Any]) -> Any:
    """RESIZE_BILINEAR as two matrix products, whose gradients are fast. Source: ``resize_bilinear.h``."""
    x, size = values
    height, width = integers(size)
    rows = ops.convert_to_tensor(_bilinear_matrix(int(x.shape[2]), height, op.options), x.dtype)
    columns = ops.convert_to_tensor(_bilinear_matrix(int(x.shape[3]), width, op.options), x.dtype)
    return ops.einsum("bnowc,pw->bnopc", ops.einsum("oi,bniwc->bnowc", rows, x), columns)


def resize_nearest(op: Op, values: list[Any]) -> Any:
    """RESIZE_NEAREST_NEIGHBOR as look-ups. Source: ``resize_nearest_neighbor.h``."""
    x, size = values
    for axis, wanted in enumerate(integers(size), start=2):
        x = ops.take(x, _nearest(int(x.shape[axis]), wanted, op.options), axis=axis)
    return x


def _scale(size: int, wanted: int, options: dict[str, Any]) -> np.float32:
    """The number of source pixels for each pixel of the result."""
    if options.get("alignCorners") and wanted > 1:
        return np.float32(np.float32(size - 1) / np.float32(wanted - 1))
    return np.float32(np.float32(size) / np.float32(wanted))


def _bilinear_matrix(size: int, wanted: int, options: dict[str, Any]) -> npt.NDArray[np.float32]:
    """The weight of each source pixel (columns) in each pixel of the result (rows)."""
    places = np.arange(wanted, dtype=np.float32)
    half = np.float32(0.5)
    scale = _scale(size, wanted, options)
    places = (places + half) * scale - half if options.get("halfPixelCenters") else places * scale
    low = np.floor(places)
    share = (places - low).astype(np.float32)
    matrix = np.zeros((wanted, size), np.float32)
    row = np.arange(wanted)
    np.add.at(matrix, (row, np.clip(low, 0, size - 1).astype(int)), 1 - share)
    np.add.at(matrix, (row, np.clip(low + 1, 0, size - 1).astype(int)), share)
    return matrix


def _nearest(size: int, wanted: int, options: dict[str, Any]) -> npt.NDArray[np.int64]:
    offset = np.float32(0.5 if options.get("halfPixelCenters") else 0.0)
    places = (np.arange(wanted, dtype=np.float32) + offset) * _scale(size, wanted, options)
    # C's round rounds halves up; NumPy's rounds them to even.
    whole = np.floor(places + np.float32(0.5)) if options.get("alignCorners") else np.floor(places)
    return np.asarray(np.clip(whole, 0, size - 1), np.int64)


def space_to_depth(op: Op, values: list[Any]) -> Any:
    """SPACE_TO_DEPTH: each block of pixels becomes one pixel. Source: ``space_to_depth.h``."""
    (x,) = values
    n, h, w, c = own_shape(x)
    k = int(op.options["blockSize"])
    y = ops.reshape(x, (-1, n, h // k, k, w // k, k, c))
    return ops.reshape(ops.transpose(y, (0, 1, 2, 4, 3, 5, 6)), (-1, n, h // k, w // k, k * k * c))


def depth_to_space(op: Op, values: list[Any]) -> Any:
    """DEPTH_TO_SPACE: each pixel becomes a block of pixels. Source: ``depth_to_space.h``."""
    (x,) = values
    n, h, w, c = own_shape(x)
    k = int(op.options["blockSize"])
    y = ops.reshape(x, (-1, n, h, w, k, k, c // (k * k)))
    return ops.reshape(ops.transpose(y, (0, 1, 2, 4, 3, 5, 6)), (-1, n, h * k, w * k, c // (k * k)))


def space_to_batch(_: Op, values: list[Any]) -> Any:
    """SPACE_TO_BATCH_ND: pads, then moves the pixels of each block to the file's batch axis."""
    x, block, widths = values
    sides = integers(block)
    count = len(sides)
    pairs = np.asarray(widths).reshape(count, 2).tolist()
    x = ops.pad(x, [(0, 0), (0, 0), *map(tuple, pairs), *[(0, 0)] * (len(x.shape) - 2 - count)])
    n, *sizes = own_shape(x)
    inner = [part for s, k in zip(sizes, sides, strict=False) for part in (s // k, k)]
    y = ops.reshape(x, (-1, n, *inner, *sizes[count:]))
    blocks = [3 + 2 * i for i in range(count)]
    space = [2 + 2 * i for i in range(count)]
    y = ops.transpose(y, (0, *blocks, 1, *space, *range(2 + 2 * count, len(y.shape))))
    return ops.reshape(
        y, (-1, n * math.prod(sides), *(s // k for s, k in zip(sizes, sides, strict=False)), *sizes[count:])
    )


def batch_to_space(_: Op, values: list[Any]) -> Any:
    """BATCH_TO_SPACE_ND: the inverse of SPACE_TO_BATCH_ND, cropping instead of padding."""
    x, block, widths = values
    sides = integers(block)
    count = len(sides)
    n, *sizes = own_shape(x)
    own = n // math.prod(sides)
    y = ops.reshape(x, (-1, *sides, own, *sizes))
    pairs = [axis for i in range(count) for axis in (2 + count + i, 1 + i)]
    y = ops.transpose(y, (0, 1 + count, *pairs, *range(2 + 2 * count, len(y.shape))))
    full = [s * k for s, k in zip(sizes, sides, strict=False)]
    y = ops.reshape(y, (-1, own, *full, *sizes[count:]))
    crops = np.asarray(widths).reshape(count, 2).tolist()
    return y[(slice(None), slice(None), *(slice(a, s - b) for (a, b), s in zip(crops, full, strict=True)))]

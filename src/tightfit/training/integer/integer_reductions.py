"""Means, sums and pools in integers, as LiteRT computes them on a CPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from tightfit.training.integer.integer_operands import IntegerOperands
from tightfit.training.integer.rescaling import Multiplier, half_away
from tightfit.training.lowering.batching import axis_of, integers
from tightfit.types import Array


def mean(work: IntegerOperands) -> Array:
    """MEAN. Source: XNNPACK ``reduce-nd.c``; LiteRT ``reduce.h``."""
    total, count = _total(work)
    if work.dtype == "int8":
        return _rounded(work, total, count, np.float32(1.0) / np.float32(count))
    multiplier = Multiplier.of(np.float64(work.grid().scale) / np.float64(work.output.scale))
    shift = min(count.bit_length() - 1, 32, 31 + int(multiplier.shift))
    narrowed = Multiplier((multiplier.mantissa << shift) // count, multiplier.shift - shift)
    return work.output.within(narrowed.times_int32(total) + work.output.zero_point)


def total(work: IntegerOperands) -> Array:
    """SUM. Source: XNNPACK ``reduce-nd.c``; LiteRT ``optimized/reduce.h``, in float32."""
    found, count = _total(work)
    if work.dtype == "int8":
        return _rounded(work, found, count, np.float32(1.0))
    scaled = half_away(found.astype(np.float32) * (work.grid().scale / work.output.scale))
    return work.output.within(scaled + work.output.zero_point)


def _total(work: IntegerOperands) -> tuple[Array, int]:
    """The sum of the integers without their zero points, and the number of summands."""
    x = work.shifted()
    rank = x.ndim - 1
    axes = tuple(sorted({axis_of(a, rank) for a in integers(work.statics[1])}))
    keeps = bool(work.op.options.get("keepDims"))
    return x.sum(axis=axes, keepdims=keeps, dtype=np.int64), math.prod(x.shape[a] for a in axes)


def _rounded(work: IntegerOperands, found: Array, count: int, share: np.float32) -> Array:
    """Rescale as XNNPACK: it sums stored integers and subtracts their zero points in float32."""
    source, output = work.grid(), work.output
    factor = source.scale / output.scale * share
    sums = (found + count * source.zero_point).astype(np.float32)
    offset = np.float32(output.zero_point) - np.float32(count * source.zero_point) * factor
    return output.within(np.rint(sums * factor + offset))


def average_pool(work: IntegerOperands) -> Array:
    """AVERAGE_POOL_2D: a quotient of integers, halves away from zero. Source: ``integer_ops/pooling.h``."""
    return _pool(work, _quotient)


def max_pool(work: IntegerOperands) -> Array:
    """MAX_POOL_2D. Source: ``integer_ops/pooling.h``."""
    return _pool(work, lambda window: window.max(axis=(1, 2)))


def _pool(work: IntegerOperands, function: Callable[[Array], Array]) -> Array:
    values, options = work.stored(), work.op.options
    x = values.reshape(-1, *values.shape[2:]).astype(np.int32)
    size = [int(options.get(f"filter{d}", 1)) for d in ("Height", "Width")]
    strides = [int(options.get(f"stride{d}", 1)) for d in "HW"]
    same = int(options.get("padding", 0)) == 0
    spans = [_spans(x.shape[i + 1], size[i], strides[i], same=same) for i in (0, 1)]
    made = np.stack([np.stack([function(x[:, a:b, c:d]) for c, d in spans[1]], 1) for a, b in spans[0]], 1)
    return work.output.within(made.reshape(work.batch, -1, *made.shape[1:]), work.fused)


def _quotient(window: Array) -> Array:
    count = window.shape[1] * window.shape[2]
    found = window.sum(axis=(1, 2))
    return np.asarray(np.sign(found) * ((np.abs(found) + count // 2) // count))


def _spans(size: int, window: int, stride: int, *, same: bool) -> list[tuple[int, int]]:
    """The first and last pixel of each window along one axis, without padding."""
    count = -(-size // stride) if same else (size - window) // stride + 1
    before = max((count - 1) * stride + window - size, 0) // 2 if same else 0
    starts = [i * stride - before for i in range(count)]
    return [(max(s, 0), min(s + window, size)) for s in starts]


REDUCTIONS: Final[dict[str, Callable[[IntegerOperands], Array]]] = {
    "MEAN": mean, "SUM": total, "AVERAGE_POOL_2D": average_pool, "MAX_POOL_2D": max_pool,
}  # fmt: skip

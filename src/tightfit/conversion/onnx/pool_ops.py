"""ONNX pooling over one to three dimensions, on (N, …, C); windows with gaps become joined slices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from jax import lax

from tightfit.conversion.onnx.onnx_values import Layout, OnnxNode, OnnxOp
from tightfit.conversion.onnx.onnx_window import OnnxWindow, Pairs, as_image


def _pool(n: OnnxNode, x: Any) -> tuple[Any, OnnxWindow, list[int], list[int], Pairs]:
    window = OnnxWindow(n, x.shape[1:-1], n.get("kernel_shape"))
    if x.ndim == 3:
        return as_image(x), window, [1, 1, *window.kernel, 1], [1, 1, *window.strides, 1], [
            (0, 0), (0, 0), *window.pads, (0, 0)]  # fmt: skip
    around = [1, *window.kernel, 1], [1, *window.strides, 1], [(0, 0), *window.pads, (0, 0)]
    return x, window, *around


def _dilated(window: OnnxWindow, x: Any, pads: Pairs, fill: float, join: Callable[[Any, Any], Any]) -> Any:
    """A window with gaps: the joined slices at each of its places; no pooling op of ``.tflite`` has gaps."""
    x = jnp.pad(x, pads, constant_values=np.float32(fill))
    rank = len(window.kernel)
    sizes = x.shape[-1 - rank : -1]
    counts = [
        (s - (k - 1) * d - 1) // t + 1
        for s, k, d, t in zip(sizes, window.kernel, window.dilations, window.strides, strict=True)
    ]
    total = None
    for place in itertools.product(*map(range, window.kernel)):
        starts = [p * d for p, d in zip(place, window.dilations, strict=True)]
        cut = tuple(
            slice(a, a + (c - 1) * t + 1, t) for a, c, t in zip(starts, counts, window.strides, strict=True)
        )
        part = x[(..., *cut, slice(None))]
        total = part if total is None else join(total, part)
    return total


def _max_pool(n: OnnxNode, x: Any) -> Any:
    if n.outputs > 1:
        raise n.refuse("gives indices, which no op of .tflite does")
    flat = x.ndim == 3
    x, window, kernel, strides, pads = _pool(n, x)
    if any(d != 1 for d in window.dilations):
        y = _dilated(window, x, pads, -np.inf, jnp.maximum)
    else:
        y = lax.reduce_window(x, -jnp.inf, lax.max, kernel, strides, pads)
    return y.reshape((y.shape[0], *y.shape[2:])) if flat else y


def _lp_pool(n: OnnxNode, x: Any) -> Any:
    """The root of the sum of powers in each window."""
    power = n.get("p", 2)
    flat = x.ndim == 3
    powers = x * x if power == 2 else abs(x) if power == 1 else jnp.power(abs(x), np.float32(power))
    powers, window, kernel, strides, pads = _pool(n, powers)
    if any(d != 1 for d in window.dilations):
        y = _dilated(window, powers, pads, 0.0, jnp.add)
    else:
        size = math.prod(window.kernel)
        padded = lax.optimization_barrier(jnp.pad(powers, pads))  # type: ignore[no-untyped-call] # JAX's own
        y = lax.reduce_window(padded, 0.0, lax.add, kernel, strides, [(0, 0)] * padded.ndim) / size * size
    y = _root(y, power)
    return y.reshape((y.shape[0], *y.shape[2:])) if flat else y


def _root(y: Any, power: int) -> Any:
    return y if power == 1 else jnp.sqrt(y) if power == 2 else jnp.power(y, np.float32(1 / power))


def _global_lp_pool(n: OnnxNode, x: Any) -> Any:
    power, axes = n.get("p", 2), tuple(range(1, x.ndim - 1))
    powers = x * x if power == 2 else jnp.power(abs(x), np.float32(power))
    return _root(jnp.sum(powers, axis=axes, keepdims=True), power)


def _average_pool(n: OnnxNode, x: Any) -> Any:
    flat = x.ndim == 3
    x, window, kernel, strides, pads = _pool(n, x)
    if any(p for pair in pads for p in pair):
        x, bare = jnp.pad(x, pads), x.shape
    else:
        bare = None
    # litert-converter 0.5 takes a transpose before an averaging window for a part of it, and drops it.
    x = lax.optimization_barrier(x)  # type: ignore[no-untyped-call] # JAX's own
    size = math.prod(window.kernel)
    gaps = any(d != 1 for d in window.dilations)
    if gaps:
        y = _dilated(window, x, [(0, 0)] * x.ndim, 0.0, jnp.add) / size
    else:
        y = lax.reduce_window(x, 0.0, lax.add, kernel, strides, [(0, 0)] * x.ndim) / size
    if bare is not None:
        share = size / _counts(n, bare, window, strides, pads)
        y = y if (share == 1).all() else y * share
    return y.reshape((y.shape[0], *y.shape[2:])) if flat else y


def _counts(n: OnnxNode, shape: Sequence[int], window: OnnxWindow, strides: list[int], pads: Pairs) -> Any:
    """How many values each window averages: the padding counts only when it was asked for."""
    grid: Any = np.ones((1, 1), np.float32)
    given = n.get("pads") or [0] * (2 * (len(n.get("kernel_shape"))))
    extra = len(shape) - 2 - len(window.kernel)
    kernel, gaps = [1] * extra + window.kernel, [1] * extra + window.dilations
    for axis in range(1, len(shape) - 1):
        size, (low, high) = shape[axis], pads[axis]
        line = np.zeros(low + size + high, np.float32)
        line[low : low + size] = 1
        if n.get("count_include_pad", 0):
            line[: low + size + given[len(given) // 2 :][axis - len(shape) + 1]] = 1
        reach = (kernel[axis - 1] - 1) * gaps[axis - 1] + 1
        steps = range(0, line.size - reach + 1, strides[axis])
        counts = np.asarray([line[s : s + reach : gaps[axis - 1]].sum() for s in steps], np.float32)
        grid = grid[..., None] * counts if axis > 1 else counts
    return np.maximum(grid, 1)[None, ..., None]


def _global(function: Any) -> OnnxOp:
    def reduce(_: OnnxNode, x: Any) -> Any:
        y = function(x, axis=tuple(range(1, x.ndim - 1)))
        return y.reshape((y.shape[0], *[1] * (x.ndim - 2), y.shape[-1]))

    return OnnxOp(reduce, Layout.STORED)


POOLS: Final[dict[str, OnnxOp]] = {
    "AveragePool": OnnxOp(_average_pool, Layout.STORED),
    "GlobalAveragePool": _global(jnp.mean),
    "GlobalLpPool": OnnxOp(_global_lp_pool, Layout.STORED),
    "GlobalMaxPool": _global(jnp.max),
    "LpPool": OnnxOp(_lp_pool, Layout.STORED),
    "MaxPool": OnnxOp(_max_pool, Layout.STORED, "without indices"),
}

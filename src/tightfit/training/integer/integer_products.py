"""Convolutions, dense layers and matrix products in integers, as LiteRT computes them on a CPU.

BLAS computes the sums of products in the smallest float type that is exact for the weights: float32 while no
sum can reach 2²⁴, else float64 (2⁵³).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from tightfit.graph.ir import Op
from tightfit.training.integer.integer_operands import IntegerOperands
from tightfit.training.integer.rescaling import Multiplier, half_away, rescale_float
from tightfit.training.lowering.batching import integers
from tightfit.types import Array

_EXACT_FLOAT32: Final = 2**24
_SAME: Final = 0


def conv_2d(work: IntegerOperands) -> Array:
    """CONV_2D, also in groups: weights (out, height, width, in / groups)."""
    x, weights = _operands(work)
    groups = x.shape[-1] // weights.shape[-1]
    share = weights.shape[0] // groups
    parts = [
        _convolve(work.op, _part(x, i, weights.shape[-1]), weights[i * share : (i + 1) * share])
        for i in range(groups)
    ]
    return _rescaled(work, parts[0] if groups == 1 else np.concatenate(parts, -1))


def _convolve(op: Op, x: Array, weights: Array) -> Array:
    def product(row: int, column: int, window: Array) -> Array:
        flat = np.ascontiguousarray(window).reshape(-1, window.shape[-1])
        return (flat @ weights[:, row, column].T).reshape(*window.shape[:-1], -1)

    places = _windows(op, x, weights.shape[1:3])
    total = product(*next(places))
    for place in places:
        np.add(total, product(*place), out=total)
    return total


def depthwise_conv_2d(work: IntegerOperands) -> Array:
    """DEPTHWISE_CONV_2D: weights (1, height, width, in · multiplier)."""
    x, weights = _operands(work)
    multiplier = weights.shape[-1] // x.shape[-1]
    x = np.repeat(x, multiplier, axis=-1) if multiplier > 1 else x
    places = _windows(work.op, x, weights.shape[1:3])
    row, column, window = next(places)
    total = np.multiply(window, weights[0, row, column])
    product = np.empty_like(total)
    for row, column, window in places:
        np.add(total, np.multiply(window, weights[0, row, column], out=product), out=total)
    return _rescaled(work, total)


def transpose_conv(work: IntegerOperands) -> Array:
    """TRANSPOSE_CONV: the products of every pixel are added to a window of the output."""
    x, weights = _operands(work)
    strides = _pair(work.op, "stride")
    wanted = integers(work.statics[0])[1:3]
    size = [(x.shape[i + 1] - 1) * strides[i] + weights.shape[i + 1] for i in (0, 1)]
    total = np.zeros((x.shape[0], *map(max, size, wanted), weights.shape[0]), x.dtype)
    flat = x.reshape(-1, x.shape[-1])
    for row in range(weights.shape[1]):
        for column in range(weights.shape[2]):
            product = (flat @ weights[:, row, column].T).reshape(*x.shape[:-1], -1)
            rows = slice(row, row + (x.shape[1] - 1) * strides[0] + 1, strides[0])
            columns = slice(column, column + (x.shape[2] - 1) * strides[1] + 1, strides[1])
            total[:, rows, columns] += product
    same = int(work.op.options.get("padding", 0)) == _SAME
    top, left = (max(s - w, 0) // 2 if same else 0 for s, w in zip(size, wanted, strict=True))
    return _rescaled(work, total[:, top : top + wanted[0], left : left + wanted[1]])


def fully_connected(work: IntegerOperands) -> Array:
    """FULLY_CONNECTED: weights (out, in) from the file."""
    x, weights = _operands(work, merged=False)
    shape = x.shape[1:]
    rows = x.reshape(x.shape[0], math.prod(shape) // weights.shape[-1], weights.shape[-1])
    made = _rescaled(work, rows @ weights.T, merged=False)
    keeps = work.op.options.get("keepNumDims")
    return made.reshape(x.shape[0], *shape[:-1], weights.shape[0]) if keeps else made


def _operands(work: IntegerOperands, *, merged: bool = True) -> tuple[Array, Array]:
    """The shifted activation and the weights in a type in which every sum is exact."""
    grid, weights = work.grid(work.activation), work.products
    reach = max(grid.high - grid.zero_point, grid.zero_point - grid.low)
    axes = tuple(i for i in range(weights.values.ndim) if i != weights.axis)
    largest = int(np.abs(weights.values.astype(np.int64)).sum(axis=axes).max(initial=0)) * reach
    largest += 0 if weights.bias is None else int(np.abs(weights.bias).max(initial=0))
    dtype = np.float32 if largest < _EXACT_FLOAT32 else np.float64
    x = work.shifted(work.activation)
    x = x.reshape(-1, *x.shape[2:]) if merged else x
    return x.astype(dtype), weights.values.astype(dtype)


def _rescaled(work: IntegerOperands, total: Array, *, merged: bool = True) -> Array:
    """Add the bias and rescale the sums to the output's grid."""
    weights, grid, source = work.products, work.output, work.grid(work.activation)
    total = total.reshape(work.batch, -1, *total.shape[1:]) if merged else total
    if work.dtype == "int8":
        if weights.bias is not None:
            total += weights.bias.astype(total.dtype)
        if weights.dtype == "int4" and work.op.kind == "CONV_2D" and work.device == "x86":
            # XNNPACK takes no int4 here, and LiteRT's own kernel rounds by the processor.
            real = np.float64(source.scale) * weights.scales.astype(np.float64) / np.float64(grid.scale)
            return grid.within(Multiplier.of(real).times_half_up(total) + grid.zero_point, work.fused)
        return rescale_float(total, source.scale * weights.scales / grid.scale, grid, work.fused)
    sums = total.astype(np.int64)
    if weights.bias is not None:
        sums += weights.bias
    factor = np.float64(source.scale) * weights.scales.astype(np.float64) / np.float64(grid.scale)
    if work.op.kind == "FULLY_CONNECTED" and weights.bias is None and work.device == "arm":
        made = Multiplier.of(factor).times_once(sums)
    elif weights.short:
        made = Multiplier.of(factor).times_int32(sums)
    elif work.op.kind == "FULLY_CONNECTED":  # its kernel with an int64 bias rescales in float64
        made = half_away(sums.astype(np.float64) * factor)
    else:
        made = Multiplier.of(factor).times_int64(sums)
    return grid.within(made, work.fused)


def _windows(op: Op, x: Array, size: tuple[int, ...]) -> Iterator[tuple[int, int, Array]]:
    """For each kernel position, the pixels it multiplies; SAME pads with zeros, an odd one at the end."""
    strides, dilations = _pair(op, "stride"), _pair(op, "dilation", "Factor")
    spans = [dilations[i] * (size[i] - 1) + 1 for i in (0, 1)]
    if int(op.options.get("padding", 0)) == _SAME:
        totals = [
            max((-(-x.shape[i + 1] // strides[i]) - 1) * strides[i] + spans[i] - x.shape[i + 1], 0)
            for i in (0, 1)
        ]
        x = np.pad(x, ((0, 0), *((t // 2, t - t // 2) for t in totals), (0, 0))) if any(totals) else x
    counts = [(x.shape[i + 1] - spans[i]) // strides[i] + 1 for i in (0, 1)]
    for row in range(size[0]):
        for column in range(size[1]):
            top, left = row * dilations[0], column * dilations[1]
            rows = slice(top, top + (counts[0] - 1) * strides[0] + 1, strides[0])
            columns = slice(left, left + (counts[1] - 1) * strides[1] + 1, strides[1])
            yield row, column, x[:, rows, columns]


def _pair(op: Op, name: str, suffix: str = "") -> tuple[int, int]:
    return int(op.options.get(f"{name}H{suffix}", 1)), int(op.options.get(f"{name}W{suffix}", 1))


def _part(x: Array, index: int, size: int) -> Array:
    return x if x.shape[-1] == size else x[..., index * size : (index + 1) * size]


PRODUCTS: Final[dict[str, Callable[[IntegerOperands], Array]]] = {
    "CONV_2D": conv_2d, "DEPTHWISE_CONV_2D": depthwise_conv_2d, "TRANSPOSE_CONV": transpose_conv,
    "FULLY_CONNECTED": fully_connected,
}  # fmt: skip

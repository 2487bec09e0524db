"""Elementwise ops in integers, as LiteRT computes them on a CPU.

int8 runs in XNNPACK while the scales are in the range of its delegate, else in LiteRT's own kernel; int16
always runs in LiteRT's own kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tightfit.training.integer.integer_operands import IntegerOperands
from tightfit.training.integer.rescaling import Multiplier, rescale_float
from tightfit.types import Array

_LEFT_SHIFT: Final = {"int8": 20, "int16": 15}
_MULTIPLIER_BITS: Final = 20
_LANES: Final = 16


def add(work: IntegerOperands, sign: int = 1) -> Array:
    """ADD. Source: XNNPACK ``qs8-vadd``; LiteRT ``add.cc``, ``optimized/integer_ops/add.h``."""
    if work.dtype == "int8" and all(2**-10 <= r < 2**8 for r in _ratios(work)):
        return _add_xnnpack(work, sign)
    return _add_builtin(work, sign)


def subtract(work: IntegerOperands) -> Array:
    """SUB: an ADD of the negated second input. Source: ``sub.cc``."""
    return add(work, -1)


def _add_xnnpack(work: IntegerOperands, sign: int) -> Array:
    """Multiply both inputs by 21-bit multipliers, then shift to the right once, rounding halves up."""
    ratios = _ratios(work)
    shift = _MULTIPLIER_BITS - int(np.frexp(max(ratios))[1]) + 1
    factors = [int(np.rint(r * np.float32(2.0**shift))) for r in ratios]
    first, second = work.both()
    total = first * factors[0] + second * (sign * factors[1])
    total += 1 << (shift - 1)
    total >>= shift
    return work.output.within(total + work.output.zero_point, work.fused)


def _add_builtin(work: IntegerOperands, sign: int) -> Array:
    """Rescale both inputs to half of the larger scale, finer by 2¹⁵ or 2²⁰; rescale the sum.

    The int16 ADD of equal shapes computes 16 values at a time and rounds their inputs once, not twice.
    """
    left = _LEFT_SHIFT[work.dtype]
    scales = [work.grid(i).scale for i in (0, 1)]
    twice = np.float64(np.float32(2) * max(scales))
    factors = [Multiplier.of(np.float64(scale) / twice) for scale in scales]
    last = Multiplier.of(twice / np.float64(np.float32(2.0**left) * work.output.scale))
    first, second = work.both()
    parts = [f.times_int32(v << left) for f, v in zip(factors, (first, second), strict=True)]
    total = last.times_int32(parts[0] + sign * parts[1])
    if work.dtype == "int16" and sign == 1 and first.shape[1:] == second.shape[1:]:
        whole = total[0].size // _LANES * _LANES
        parts = [f.shifted(left).times_int32(v) for f, v in zip(factors, (first, second), strict=True)]
        vectors = last.times_int32(parts[0] + parts[1]).reshape(total.shape[0], -1)
        total.reshape(total.shape[0], -1)[:, :whole] = vectors[:, :whole]
    return work.output.within(total + work.output.zero_point, work.fused)


def multiply(work: IntegerOperands) -> Array:
    """MUL. Source: XNNPACK ``qs8-vmul``; LiteRT ``mul.cc``."""
    factor = work.grid(0).scale * work.grid(1).scale / work.output.scale
    first, second = work.both()
    total = first * second
    if work.dtype == "int8" and 2**-16 <= factor < 2**8:
        return rescale_float(total, factor, work.output, work.fused)
    scaled = Multiplier.of(factor).times_int32(total)
    return work.output.within(scaled + work.output.zero_point, work.fused)


def leaky_relu(work: IntegerOperands) -> Array:
    """LEAKY_RELU. Source: XNNPACK ``qs8-vlrelu``, multipliers in units of 1/256; LiteRT ``leaky_relu.h``."""
    x, alpha = work.shifted(), np.float32(work.op.options.get("alpha", 0.0))
    above = work.grid().scale / work.output.scale
    below = above * alpha
    if work.dtype == "int8" and 2**-8 <= above <= 2**7 and 2**-8 <= abs(below) <= 2**7:
        factors = np.asarray(np.where(x >= 0, np.rint(256 * above), np.rint(256 * below)), np.int64)
        return work.output.within(((x * factors + 128) >> 8) + work.output.zero_point)
    below = work.grid().scale * alpha / work.output.scale
    negative = np.sign(below).astype(np.int64) * Multiplier.of(abs(below)).times_int32(x)
    made = np.where(x >= 0, Multiplier.of(above).times_int32(x), negative)
    return work.output.within(made + work.output.zero_point)


def prelu(work: IntegerOperands) -> Array:
    """PRELU, the slopes from the file. Source: ``prelu.h``."""
    x, slopes = work.shifted().astype(np.int64), work.products.values.astype(np.int64)
    above = work.grid().scale / work.output.scale
    below = work.grid().scale * work.products.scales[0] / work.output.scale
    made = np.where(x >= 0, Multiplier.of(above).times_int32(x), Multiplier.of(below).times_int32(x * slopes))
    return work.output.within(made + work.output.zero_point)


def relu(work: IntegerOperands) -> Array:
    """RELU and its variants: a rescaled, clipped copy. Source: ``activations.cc``, ``ReluX``."""
    scaled = Multiplier.of(work.grid().scale / work.output.scale).times_int32(work.shifted())
    return work.output.within(scaled + work.output.zero_point, work.op.kind)


def square_root(work: IntegerOperands) -> Array:
    """SQRT: in float32, truncated towards zero. Source: ``elementwise.cc``."""
    roots = np.sqrt(np.maximum(work.shifted().astype(np.float32) * work.grid().scale, np.float32(0)))
    return work.output.within(np.trunc(roots / work.output.scale) + work.output.zero_point)


def _ratios(work: IntegerOperands) -> list[Any]:
    """The scales of both inputs over the output's, float32."""
    return [work.grid(i).scale / work.output.scale for i in (0, 1)]


ELEMENTWISE: Final[dict[str, Callable[[IntegerOperands], Array]]] = {
    "ADD": add, "SUB": subtract, "MUL": multiply, "LEAKY_RELU": leaky_relu,
    "PRELU": prelu, "RELU": relu, "RELU6": relu, "RELU_N1_TO_1": relu, "SQRT": square_root,
}  # fmt: skip

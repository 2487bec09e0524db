"""SOFTMAX, LOGISTIC and TANH in integers by look-up tables, as LiteRT computes them on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tightfit.training.integer.integer_kernels import EXPONENTIAL, RECIPROCAL, TABLE_STEPS
from tightfit.training.integer.integer_operands import IntegerOperands
from tightfit.training.integer.rescaling import Multiplier
from tightfit.types import Array

_SPAN: Final = 10.0 / 65535.0
"""One int16 step of the exponential's table, which spans ten units."""


def softmax(work: IntegerOperands) -> Array:
    """SOFTMAX. Source: ``optimized_ops.h``, ``Softmax``; ``reference/softmax.h``, ``SoftmaxInt16``."""
    if work.dtype != "int8":
        return _softmax_int16(work)
    return _softmax_int8_arm(work) if work.device == "arm" else _softmax_int8(work)


def _softmax_int8(work: IntegerOperands) -> Array:
    """Compute exponentials from a float32 table, and sum them sequentially in float32."""
    x = work.shifted()
    step = -work.grid().scale * np.float32(work.op.options.get("beta", 1.0))
    table = np.exp((step * np.arange(256, dtype=np.float32)).astype(np.float64)).astype(np.float32)
    # The kernel also multiplies by the exponential of the largest value, which is 1.
    powers = table[x.max(axis=-1, keepdims=True) - x]
    sums = np.cumsum(powers, axis=-1, dtype=np.float32)[..., -1:]
    scaled = powers * (np.float32(1.0) / (sums * work.output.scale))
    return work.output.within(np.floor(scaled + np.float32(0.5)) + work.output.zero_point)


def _softmax_int8_arm(work: IntegerOperands) -> Array:
    """Compute exponentials from a table of 16 bits, and rescale the quotient in fixed point.

    Source: ``optimized_ops.h``, ``PopulateSoftmaxUInt8LookupTable`` and ``SoftmaxInt8LUT``.
    """
    x = work.shifted().astype(np.int64)
    scale = work.grid().scale * np.float32(work.op.options.get("beta", 1.0))
    steps = np.exp((scale * np.arange(-255, 1, dtype=np.float32)).astype(np.float64)).astype(np.float32)
    table = np.minimum((steps * np.float32(65535.0) + 0.5).astype(np.int64), 65535)
    powers = table[255 + x - x.max(axis=-1, keepdims=True)]
    sums = powers.sum(axis=-1, keepdims=True).astype(np.float32)
    inverse = np.float32(1.0) / (sums * work.output.scale)
    return work.output.within(Multiplier.of(inverse).times_int32(powers) + work.output.zero_point)


def _softmax_int16(work: IntegerOperands) -> Array:
    """Compute the exponential and the reciprocal from tables of 513 entries with interpolation."""
    x = work.shifted()
    beta = np.float32(work.op.options.get("beta", 1.0))
    # float32 · float32 / double, as in the kernel's preparation.
    multiplier = Multiplier.of(np.float64(work.grid().scale * beta) / _SPAN)
    distance = multiplier.times_int32(x - x.max(axis=-1, keepdims=True)) + 32767
    powers = look_up(EXPONENTIAL, np.clip(distance, -32768, 32767))
    sums = powers.sum(axis=-1, keepdims=True)
    # The fraction, in 16 bits, of the sum normalized to [1, 2).
    bits = np.floor(np.log2(np.maximum(sums, 1))).astype(np.int64)
    shifted = (((sums << (30 - bits)) + (1 << 13)) >> 14) - (1 << 15) - (1 << 16)
    inverse = look_up(RECIPROCAL, np.clip(shifted, -32768, 32767))
    return work.output.within(np.clip((powers * inverse + (np.int64(1) << (bits - 1))) >> bits, 0, 32767))


def look_up(table: Array, values: Array) -> Array:
    """``LUTLookup``: interpolation between two of 513 entries in 128 steps."""
    entries = table.astype(np.int64)
    place = (values >> 7) + TABLE_STEPS // 2
    slope = entries[place + 1] - entries[place]
    return np.asarray(entries[place] + ((slope * (values & 127) + 64) >> 7))


def logistic(work: IntegerOperands) -> Array:
    """LOGISTIC. Source: XNNPACK ``reference/unary-elementwise.cc``; ``integer_ops/logistic.h``."""
    if work.dtype == "int8":
        return _tabulated(work, lambda x: 1.0 / (1.0 + np.exp(-x)))
    place, magnitude = _positions(work)
    result = _sigmoid(magnitude, 9)
    made = np.where(place >= 0, result + (1 << 9), (1 << 25) - result + (1 << 9) - 1) >> 10
    return work.output.within(made)


def tanh(work: IntegerOperands) -> Array:
    """TANH. Source: XNNPACK ``reference/unary-elementwise.cc``; ``integer_ops/tanh.h``."""
    if work.dtype == "int8":
        return _tabulated(work, np.tanh)
    place, magnitude = _positions(work)
    result = _sigmoid(magnitude, 8)
    made = np.where(place >= 0, result - (1 << 23) + (1 << 7), (1 << 23) - result + (1 << 7) - 1) >> 8
    return work.output.within(made)


def _tabulated(work: IntegerOperands, function: Callable[[Any], Any]) -> Array:
    """int8: dequantize each integer in float32, apply the function, and quantize again."""
    source, output = work.grid(), work.output
    stored = np.arange(source.low, source.high + 1)
    reals = (stored - source.zero_point).astype(np.float32) * source.scale
    made = function(reals.astype(np.float64)).astype(np.float32)
    steps = made * (np.float32(1.0) / output.scale) + np.float32(output.zero_point)
    return np.asarray(output.within(np.rint(steps))[work.stored() - source.low])


def _positions(work: IntegerOperands) -> tuple[Array, Array]:
    """int16: the inputs in steps of 1/(3 · 4096), with sign and absolute."""
    scale, shift = float(work.grid().scale), 0
    exponent = np.log2(scale)
    if exponent == int(exponent) and int(exponent) + 12 in (0, 1):
        factor = 3 << (int(exponent) + 12)
    else:
        real = scale * 4096.0 * 3.0
        while real <= 32767.0 / 2.0 and shift <= 30:
            shift, real = shift + 1, real * 2.0
        factor = int(real)
    place = (work.shifted().astype(np.int64) * factor + ((1 << shift) >> 1)) >> shift
    return place, np.abs(place)


def _sigmoid(magnitude: Array, bits: int) -> Array:
    """The logistic of positive reals, in 16 bits and ``bits`` more from interpolation."""
    place = np.minimum(magnitude >> bits, 254)
    slope = _SIGMOID[place + 1] - _SIGMOID[place]
    found = (_SIGMOID[place] << bits) + slope * (magnitude & ((1 << bits) - 1))
    largest = 0x7FFF << 10 if bits == 9 else 0xFFFF << 8
    return np.where(magnitude >> bits >= 255, largest, found)


def _sigmoid_entries() -> Array:
    """``sigmoid_table_uint16`` of ``common.h``: 2¹⁶ · logistic(i / 24), with eight entries that differ."""
    entries = np.rint(65536.0 / (1.0 + np.exp(-np.arange(256) / 23.999))).astype(np.int64)
    entries[[4, 255]] += 1
    entries[[65, 69, 71, 117, 163, 174]] -= 1
    return entries


_SIGMOID: Final = _sigmoid_entries()

TABLES: Final[dict[str, Callable[[IntegerOperands], Array]]] = {
    "SOFTMAX": softmax,
    "LOGISTIC": logistic,
    "TANH": tanh,
}

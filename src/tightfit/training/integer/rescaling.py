"""Rescale the sums of integer kernels to 8 or 16 bits, equal to LiteRT to the bit, on NumPy arrays of int64.

There are two families. XNNPACK multiplies the int32 sum by a float32; LiteRT's own kernels multiply by a
31-bit fixed-point number and shift. Their roundings differ, so that a simulation in reals differs by one step
for some values.

Source: XNNPACK ``qs8-igemm``, ``qs8-dwconv`` (fp32 requantization); LiteRT ``kernels/internal/common.cc``,
``quantization_util.cc``; gemmlowp ``fixedpoint.h``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tightfit.graph.ops.activations import CLIPS
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.plan import Storage
from tightfit.types import Array

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """The grid of an activation: ``real = scale · (q - zero_point)``, q in [low, high]."""

    scale: np.float32
    zero_point: int
    low: int
    high: int

    @classmethod
    def of(cls, storage: Storage) -> Grid:
        """Return the grid of a storage with one scale."""
        low, high = LIMITS[storage.dtype]
        return cls(np.float32(storage.scale[0]), int(storage.zero_point[0]), low + storage.narrow, high)

    def within(self, values: Array, activation: str = "") -> npt.NDArray[np.int16]:
        """Return integers clipped to the range of the type and of a fused activation.

        Example:
            >>> Grid(np.float32(0.5), 0, -128, 127).within(np.array([-3, 20]), activation="RELU6").tolist()
            [0, 12]
        """
        return np.clip(values, *self.bounds(activation)).astype(np.int16)

    def bounds(self, activation: str = "") -> tuple[int, int]:
        """Return the least and the largest integer under a fused activation."""
        least, most = CLIPS[activation]
        low = self.low if least is None else max(self.low, self.place(least))
        high = self.high if most is None else min(self.high, self.place(most))
        return low, high

    def place(self, real: float) -> int:
        """Return the integer of a real, halves away from zero."""
        return self.zero_point + int(half_away(np.asarray(np.float32(real) / self.scale)))


def rescale_float(total: Array, factor: Any, grid: Grid, activation: str = "") -> npt.NDArray[np.int16]:
    """XNNPACK: ``round(float32(sum) · factor) + zero point``, halves to even.

    Args:
        total: exact sums.
        factor: float32 factor, one or one for each channel (last axis).
        grid: the grid of the output.
        activation: the fused activation function.
    """
    scaled = total.astype(np.float32)
    scaled *= np.asarray(factor, np.float32)
    np.rint(scaled, out=scaled)
    scaled += np.float32(grid.zero_point)
    np.clip(scaled, *grid.bounds(activation), out=scaled)
    return scaled.astype(np.int16)


@dataclass(frozen=True)
class Multiplier:
    """Real factors in fixed point, ``mantissa · 2^(shift - 31)``: one, or one for each channel."""

    mantissa: Integers
    shift: Integers

    @classmethod
    def of(cls, real: Any) -> Multiplier:
        """Return the fixed-point form of real factors; the mantissa has 31 bits.

        Example:
            >>> Multiplier.of(0.5)
            Multiplier(mantissa=array(1073741824), shift=array(0))
        """
        fraction, exponent = np.frexp(np.asarray(real, np.float64))
        mantissa = half_away(fraction * 2.0**31).astype(np.int64)
        full = mantissa == 2**31
        mantissa, shift = np.where(full, mantissa // 2, mantissa), exponent.astype(np.int64) + full
        tiny = shift < -31
        return cls(np.where(tiny, 0, mantissa), np.where(tiny, 0, shift))

    def times_int32(self, values: Array) -> Integers:
        """``MultiplyByQuantizedMultiplier`` of an int32: rounds halves up, after the shift away from zero.

        The two roundings can accumulate: 5/4 is first 3/2 and then 2.

        Example:
            >>> Multiplier.of(0.25).times_int32(np.array([2, -2, 5])).tolist()
            [1, -1, 2]
        """
        product = (values.astype(np.int64) << np.maximum(self.shift, 0)) * self.mantissa
        high = (product + 2**30) >> 31
        right = np.maximum(-self.shift, 0)
        mask = (np.int64(1) << right) - 1
        return np.asarray((high >> right) + ((high & mask) > (mask >> 1) + (high < 0)), np.int64)

    def times_half_up(self, values: Array) -> Integers:
        """The same product rounded twice, halves up both times: LiteRT's own convolutions on x86.

        Example:
            >>> Multiplier.of(0.25).times_half_up(np.array([2, -2, 5])).tolist()
            [1, 0, 2]
        """
        product = (values.astype(np.int64) << np.maximum(self.shift, 0)) * self.mantissa
        right = np.maximum(-self.shift, 0)
        return np.asarray((((product + 2**30) >> 31) + ((np.int64(1) << right) >> 1)) >> right, np.int64)

    def times_once(self, values: Array) -> Integers:
        """The same product rounded once, halves up: LiteRT's own kernels on ARM.

        Example:
            >>> Multiplier.of(0.25).times_once(np.array([2, -2, 5])).tolist()
            [1, 0, 1]
        """
        total = 31 - self.shift
        product = values.astype(np.int64) * self.mantissa
        return np.asarray((product + (np.int64(1) << (total - 1))) >> total, np.int64)

    def shifted(self, left: int) -> Multiplier:
        """Return the factor times ``2^left``."""
        return Multiplier(self.mantissa, self.shift + left)

    def times_int64(self, values: Array) -> Integers:
        """``MultiplyByQuantizedMultiplier`` of an int64: a mantissa of 15 bits, rounded once.

        Example:
            >>> Multiplier.of(0.25).times_int64(np.array([2, -2, 5])).tolist()
            [1, 0, 1]
        """
        short = np.where(self.mantissa < 0x7FFF0000, (self.mantissa + 2**15) >> 16, 0x7FFF)
        total = 15 - self.shift
        product = values.astype(np.int64) * short
        product += np.int64(1) << (total - 1)
        return np.asarray(product >> total, np.int64)


def requantize(values: Array, source: Grid, output: Grid, *, short: bool) -> npt.NDArray[np.int16]:
    """QUANTIZE from integers to integers.

    Args:
        values: stored integers.
        source: their grid.
        output: the grid of the result.
        short: whether both are int8, for which XNNPACK uses a factor in units of 1/256.

    Source: XNNPACK ``qs8-vcvt``; LiteRT ``quantize.cc``, ``Requantize``.
    """
    x = np.subtract(values, source.zero_point, dtype=np.int64)
    ratio = source.scale / output.scale
    if short and 2**-8 <= ratio <= 2**7:
        return output.within(((x * int(np.rint(256 * ratio)) + 128) >> 8) + output.zero_point)
    real = np.float64(source.scale) / np.float64(output.scale)
    return output.within(Multiplier.of(real).times_int32(x) + output.zero_point)


def half_away(values: Array) -> Array:
    """Round halves away from zero, as C does.

    Example:
        >>> half_away(np.array([0.5, -1.5, 1.4])).tolist()
        [1.0, -2.0, 1.0]
    """
    return np.asarray(np.sign(values) * np.floor(np.abs(values) + 0.5))

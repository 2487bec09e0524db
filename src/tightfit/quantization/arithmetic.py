"""Affine quantization: ``real = scale · (q - zero_point)``.

Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
Only Inference"; the TFLite 8-bit quantization specification (int8 weights symmetric in [-127, 127], int16
activations symmetric, int32 biases with scale input · weight).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tightfit.errors import QuantizationError
from tightfit.types import Array

LIMITS: Final[dict[str, tuple[int, int]]] = {
    "int2": (-2, 1),
    "int4": (-8, 7),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}

_NUMPY_TYPES: Final[dict[str, Any]] = {
    "int2": np.int8,
    "int4": np.int8,
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
}

# A range of zero width (a dead channel) still needs a scale; the value is exact for any scale.
_SMALLEST_SCALE: Final = 1e-9


def activation_parameters(low: float, high: float, dtype: str) -> tuple[float, int]:
    """Return the (scale, zero point) of an activation with values in [low, high].

    int8: ``scale = (high - low) / 255``, with zero in the range and exact; int16: symmetric,
    ``scale = max(|low|, |high|) / 32767``, zero point 0, as the int16 kernels require.

    Args:
        low: the least value.
        high: the largest value.
        dtype: ``int8`` or ``int16``.

    Raises:
        QuantizationError: the range is not finite, or ``low`` is above ``high``.

    Example:
        >>> activation_parameters(0.0, 6.0, "int8")
        (0.023529411764705882, -128)
        >>> activation_parameters(-1.0, 0.5, "int16")[1]
        0
    """
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise QuantizationError(
            f"A range must be finite and ascend; received [{low}, {high}]. Calibrate with clean data."
        )
    low, high = min(0.0, float(low)), max(0.0, float(high))
    bottom, top = LIMITS[dtype]
    if dtype == "int16":
        return max(max(-low, high) / top, _SMALLEST_SCALE), 0
    scale = max((high - low) / (top - bottom), _SMALLEST_SCALE)
    return scale, int(np.clip(round(bottom - low / scale), bottom, top))


def weight_scales(weights: Array, axis: int | None, dtype: str = "int8") -> npt.NDArray[np.float32]:
    """Return the symmetric scales of weights: ``max |w| / 127`` per channel of ``axis``, or one for all.

    Args:
        weights: real weights.
        axis: the channel axis; None for one scale.
        dtype: the integer type of the weights.

    Returns:
        float32 of shape (channels,) or (1,).

    Example:
        >>> (weight_scales(np.array([[1.0, -2.0], [0.5, 0.25]], np.float32), 0) * 127).tolist()
        [2.0, 0.5]
    """
    top = LIMITS[dtype][1]
    if weights.size == 0:
        return np.full(1 if axis is None else weights.shape[axis], _SMALLEST_SCALE, np.float32)
    reduced = None if axis is None else tuple(i for i in range(weights.ndim) if i != axis)
    # max(|min|, |max|) needs no |w| array as large as the weights.
    largest = np.maximum(weights.max(axis=reduced), -weights.min(axis=reduced))
    scales = np.atleast_1d(np.asarray(largest, np.float32)) / np.float32(top)
    floored: npt.NDArray[np.float32] = np.maximum(scales, np.float32(_SMALLEST_SCALE)).astype(np.float32)
    return floored


def quantize(
    values: Array,
    scale: npt.ArrayLike,
    zero_point: npt.ArrayLike,
    dtype: str,
    axis: int | None = None,
    *,
    narrow: bool = False,
) -> Array:
    """Return ``clip(round(values · (1 / scale)) + zero_point)``, equal to LiteRT's QUANTIZE to the bit.

    The vector code of LiteRT's and XNNPACK's kernels multiplies by the float32 reciprocal and rounds halves
    to even; only the scalar code for the last few elements divides and rounds halves away from zero.

    Args:
        values: finite reals, of any shape.
        scale: one scale, or one for each channel.
        zero_point: as many zero points.
        dtype: the integer type, a key of ``LIMITS`` up to 16 bits.
        axis: channel axis of per-channel scales.
        narrow: exclude the lowest integer, so that the range is symmetric (weights).

    Returns:
        Integers in the shape of ``values``.

    Example:
        >>> quantize(np.array([-0.75, 0.25, 9.0]), 0.5, 0, "int8").tolist()
        [-2, 0, 18]
    """
    bottom, top = LIMITS[dtype]
    values = np.asarray(values, np.float32)
    with np.errstate(over="ignore"):  # infinite steps are clipped like any that are too many
        steps = np.asarray(values * (np.float32(1) / spread(scale, values.ndim, axis)))
    np.rint(steps, out=steps)
    steps += spread(zero_point, values.ndim, axis)
    np.clip(steps, bottom + 1 if narrow else bottom, top, out=steps)
    return steps.astype(numpy_type(dtype))


def dequantize(
    integers: Array, scale: npt.ArrayLike, zero_point: npt.ArrayLike, axis: int | None = None
) -> npt.NDArray[np.float32]:
    """Return the float32 values of integers, equal to XNNPACK's DEQUANTIZE to the bit.

    LiteRT's own kernel computes ``scale · q - scale · zero_point``, which differs by float32 rounding.

    Args:
        integers: integers of any shape.
        scale: one scale, or one for each channel.
        zero_point: as many zero points.
        axis: channel axis of per-channel scales.

    Example:
        >>> dequantize(np.array([-1, 3], np.int8), 0.5, 1).tolist()
        [-1.0, 1.0]
    """
    shifted = np.asarray(integers).astype(np.float32) - spread(zero_point, np.ndim(integers), axis)
    return np.asarray(shifted * spread(scale, np.ndim(integers), axis), np.float32)


def spread(value: npt.ArrayLike, rank: int, axis: int | None) -> npt.NDArray[np.float32]:
    """Return per-channel values in a shape that broadcasts along ``axis``; single values are not changed.

    Args:
        value: a scalar, or one value for each channel.
        rank: rank of the array to broadcast against.
        axis: the channel axis.
    """
    flat = np.asarray(value, np.float32).reshape(-1)
    if flat.size == 1:
        return flat.reshape(())
    return flat if axis is None else flat.reshape([-1 if i == axis else 1 for i in range(rank)])


def numpy_type(dtype: str) -> Any:
    """Return the NumPy type that holds integers of a stored type (int4 and int2 unpacked)."""
    return _NUMPY_TYPES[dtype]


def bias_integers(bias: Array, scales: npt.NDArray[np.float64], dtype: str) -> tuple[Array, bool]:
    """Return a bias on its grid ``scale = input scale · weight scale``.

    Args:
        bias: real biases, (channels,).
        scales: scales of the grid, (channels,) or (1,).
        dtype: ``int32`` or ``int64``.

    Returns:
        Integers of ``dtype``, and True when a value overflowed and was clipped.
    """
    bottom, top = LIMITS[dtype]
    whole = np.round(bias.astype(np.float64).reshape(-1) / scales)
    cut = bool((whole < bottom).any() or (whole > top).any())
    # float64 cannot represent 2⁶³ - 1; an int64 bias is never near it, so ±2⁶² is a safe bound.
    limit = min(float(top), 2.0**62)
    return np.clip(whole, -limit, limit).astype(numpy_type(dtype)).reshape(bias.shape), cut

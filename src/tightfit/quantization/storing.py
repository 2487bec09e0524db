"""Convert tensors and constants to the form of a ``Storage``, and make the ops that convert between forms."""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.errors import QuantizationError
from tightfit.graph.ir import Op, Quantization, Tensor
from tightfit.quantization.arithmetic import bias_integers, quantize
from tightfit.quantization.plan import Storage
from tightfit.types import Array

_FLOAT16_MAX: Final = float(np.finfo(np.float16).max)


def store(values: Array, storage: Storage, where: str) -> Array:
    """Return the integers (or float16 values) of a constant under a storage.

    float16 keeps infinities (masks) and clips other values at ±65504.

    Args:
        values: real values.
        storage: the form to store them in.
        where: the op in words, for the error message.

    Raises:
        QuantizationError: the constant has NaN, or infinity with an integer storage.
    """
    if storage.dtype == "float16":
        if np.isnan(values).any():
            raise QuantizationError(f"A constant of {where} holds NaN. Train or export the model again.")
        bounded = np.clip(values, -_FLOAT16_MAX, _FLOAT16_MAX)
        return np.asarray(np.where(np.isinf(values), values, bounded), np.float16)
    if not np.isfinite(values).all():
        raise QuantizationError(
            f"A constant of {where} has NaN or infinity, which no integer represents. "
            "Train or export the model again, or keep the op in float."
        )
    if storage.dtype in ("int32", "int64"):
        return bias_integers(values, np.asarray(storage.scale, np.float64), storage.dtype)[0]
    return quantize(
        values, storage.scale, storage.zero_point, storage.dtype, storage.axis, narrow=storage.narrow
    )


def quantization_of(storage: Storage) -> Quantization | None:
    """Return the graph's quantization for a storage, None for float types."""
    if not storage.scale:
        return None
    scale = np.asarray(storage.scale, np.float32)
    return Quantization(scale, np.asarray(storage.zero_point, np.int64), storage.axis or 0)


def hold(tensor: Tensor, storage: Storage) -> None:
    """Set a tensor's type and quantization to those of a storage."""
    tensor.dtype = storage.dtype
    tensor.quantization = quantization_of(storage)


def shifted(storage: Storage) -> Storage:
    """Return the uint8 storage with the same real values as an int8 storage."""
    return Storage("uint8", storage.scale, tuple(z + 128 for z in storage.zero_point), storage.axis)


def conversion(source: Tensor, target: Tensor) -> Op:
    """Return the op that converts: QUANTIZE to integers (also between integer types), DEQUANTIZE to float."""
    if target.dtype == "float32":
        return Op("DEQUANTIZE", [source], [target], {}, "DequantizeOptions")
    return Op("QUANTIZE", [source], [target], {}, "QuantizeOptions")

"""The storage of element types: NumPy types and the packing of 4- and 2-bit integers.

Source: ``TensorType`` in ``schema.fbs``; packing low bits first: ``portable_tensor_utils`` in
``tflite/kernels/internal``.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tightfit.types import Array

PACKED_BITS: Final[dict[str, int]] = {"int4": 4, "uint4": 4, "int2": 2}
"""Type name → bits, for types with several values in a byte; in memory they are int8 (uint8 for uint4)."""

ITEM_TYPES: Final[dict[str, Any]] = {
    "float32": np.float32,
    "float16": np.float16,
    "float64": np.float64,
    "bfloat16": np.uint16,
    "int32": np.int32,
    "uint8": np.uint8,
    "int64": np.int64,
    "bool": np.bool_,
    "int16": np.int16,
    "complex64": np.complex64,
    "complex128": np.complex128,
    "int8": np.int8,
    "uint64": np.uint64,
    "uint32": np.uint32,
    "uint16": np.uint16,
    "int4": np.int8,
    "uint4": np.uint8,
    "int2": np.int8,
    "float8_e4m3fn": np.uint8,
    "float8_e5m2": np.uint8,
}
"""Type name → NumPy type of ``Tensor.data``; other types (strings, resources) are bytes."""


def unpack(raw: Array, dtype: str) -> Array:
    """Return the values of packed bytes, one for each element, low bits first.

    Example:
        >>> unpack(np.array([0x2F], np.uint8), "int4").tolist()
        [-1, 2]
    """
    bits = PACKED_BITS[dtype]
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    values = (raw.reshape(-1, 1) >> shifts) & np.uint8(2**bits - 1)
    flat: Array = values.reshape(-1)
    if dtype.startswith("u"):
        return flat
    half = 2 ** (bits - 1)
    signed: Array = ((flat.astype(np.int8) ^ half) - half).astype(np.int8)
    return signed


def pack(values: Array, dtype: str) -> Array:
    """Return the packed bytes of small integers, low bits first, the last byte padded with zeros.

    Example:
        >>> pack(np.array([-1, 2], np.int8), "int4").tolist()
        [47]
    """
    bits = PACKED_BITS[dtype]
    per_byte = 8 // bits
    flat = values.reshape(-1).astype(np.uint8) & np.uint8(2**bits - 1)
    flat = np.concatenate([flat, np.zeros(-flat.size % per_byte, np.uint8)]).reshape(-1, per_byte)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    packed: Array = np.bitwise_or.reduce(flat << shifts, axis=1).astype(np.uint8)
    return packed

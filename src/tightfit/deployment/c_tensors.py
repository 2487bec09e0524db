"""Inputs and outputs of a model as an application in C needs them: type, size, scale, zero point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.errors import ModelError
from tightfit.graph.ir import Tensor
from tightfit.types import Array

C_TYPES: Final = {
    "float32": "float", "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t",
    "int32": "int32_t", "uint32": "uint32_t", "int64": "int64_t", "bool": "bool",
}  # fmt: skip
_INTEGERS: Final = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


@dataclass(frozen=True)
class CTensor:
    """One input or output.

    Args:
        index: its position.
        dtype: element type.
        shape: dimensions.
        scale: of ``real = scale * (integer - zero_point)``; None for one that represents no reals.
        zero_point: see ``scale``.
    """

    index: int
    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int

    @property
    def c_type(self) -> str:
        """The type in C."""
        return C_TYPES[self.dtype]

    @property
    def count(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def limits(self) -> tuple[int, int] | None:
        """The least and the largest integer of a quantized tensor, None for others."""
        return _INTEGERS.get(self.dtype) if self.scale is not None else None

    @property
    def scale_text(self) -> str:
        """The scale as a C constant that is the same float32."""
        return c_float(np.float32(self.scale or 0.0))

    @classmethod
    def of(cls, tensor: Tensor, index: int) -> CTensor:
        """Return the input or output that a tensor is.

        Raises:
            ModelError: its type has no counterpart in C here, or a dimension is not known.
        """
        if tensor.dtype not in C_TYPES:
            raise ModelError(
                f"Received the input or output '{tensor.name}' of type {tensor.dtype}; expected one of "
                f"{', '.join(C_TYPES)}."
            )
        q = tensor.quantization if tensor.is_quantized else None
        scale, zero = (None, 0) if q is None else (float(q.scale[0]), int(q.zero_point[0]))
        return cls(index, tensor.dtype, tensor.shape, scale, zero)


def c_float(value: np.float32) -> str:
    """Return a float32 as a C constant of the same value.

    Example:
        >>> c_float(np.float32(0.1)), c_float(np.float32(2)), c_float(np.float32(-np.inf))
        ('0.1f', '2.0f', '-INFINITY')
    """
    if np.isnan(value):
        return "NAN"
    if np.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{value!s}f"


def c_values(array: Array) -> str:
    """Return the elements of an array as C initializers, in lines.

    Example:
        >>> c_values(np.array([1, -128], np.int8)), c_values(np.array([True]))
        ('  1, -128,', '  true,')
    """
    flat = array.reshape(-1)
    if array.dtype.kind == "f":
        words = [c_float(v) for v in flat.astype(np.float32)]
    elif array.dtype.kind == "b":
        words = [str(bool(v)).lower() for v in flat]
    else:
        words = [_c_integer(int(v)) for v in flat]
    return _lines(words)


def c_bytes(data: bytes) -> str:
    """Return bytes as C initializers, in lines."""
    return _lines([f"0x{byte:02x}" for byte in data], 16)


def _c_integer(value: int) -> str:
    """The least int64 and int32 have no literal of their own type."""
    if value in (-(2**63), -(2**31)):
        return f"(-{-value - 1}{'LL' if value < -(2**31) else ''} - 1)"
    return f"{value}LL" if abs(value) >= 2**31 else str(value)


def _lines(words: list[str], each: int = 12) -> str:
    return "\n".join("  " + ", ".join(words[i : i + each]) + "," for i in range(0, len(words), each))

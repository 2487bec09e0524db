"""Scale, zero point and type of quantized ONNX values, and how they leave the child process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LIMITS: Final[dict[str, tuple[int, int]]] = {
    "int2": (-2, 1), "uint2": (0, 3), "int4": (-8, 7), "uint4": (0, 15), "int8": (-128, 127),
    "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
}  # fmt: skip
"""Integer types that ONNX quantizes to → smallest and largest value."""

MARKER: Final = "tightfit.round"
"""Prefix of the composites that stand for QUANTIZE and DEQUANTIZE until the file is there."""


@dataclass(frozen=True, eq=False)
class QdqParameters:
    """``real = scale · (q − zero_point)``.

    Args:
        dtype: ONNX's integer type.
        scale: float32, one or one a channel.
        zero_point: as many.
        axis: of the channels in ONNX's order, None for one scale.
    """

    dtype: str
    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64]
    axis: int | None = None

    def same(self, other: QdqParameters) -> bool:
        """Return True for equal scales, zero points and types."""
        numbers = np.array_equal(self.scale, other.scale) and np.array_equal(
            self.zero_point, other.zero_point
        )
        return numbers and self.dtype == other.dtype

    def spread(self, rank: int) -> tuple[Array, Array]:
        """Return scale and zero point shaped for an array of that rank."""
        if self.axis is None:
            return self.scale.reshape(()), self.zero_point.reshape(())
        shape = [-1 if i == self.axis % rank else 1 for i in range(rank)]
        return self.scale.reshape(shape), self.zero_point.reshape(shape)

    def quantize(self, values: Array) -> Array:
        """Return the integers of reals: float32 division, halves to even, saturated, as onnxruntime does."""
        scale, zero_point = self.spread(values.ndim)
        with np.errstate(all="ignore"):
            steps = np.rint(values.astype(np.float32) / scale).astype(np.float64) + zero_point
        return np.clip(np.nan_to_num(steps), *LIMITS[self.dtype]).astype(np.int64)

    def dequantize(self, integers: Array) -> npt.NDArray[np.float32]:
        """Return the reals of integers, rounded once to float32."""
        scale, zero_point = self.spread(integers.ndim)
        return np.asarray((integers.astype(np.float64) - zero_point) * scale, np.float32)


@dataclass(frozen=True)
class Rounding:
    """The quantization of a source that its float graph alone does not say.

    Args:
        constants: digest of a constant's reals → its parameters, and whether activations are quantized at run
            time. inputs, outputs: those that are integers in the source → parameters.
    """

    constants: Mapping[str, tuple[QdqParameters, bool]] = field(default_factory=dict)
    inputs: Mapping[str, QdqParameters] = field(default_factory=dict)
    outputs: Mapping[str, QdqParameters] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return the same as JSON can hold it; ``Rounding.of`` reads it."""
        constants = {d: [marker_name(p, p.axis), dynamic] for d, (p, dynamic) in self.constants.items()}
        ends = ({n: marker_name(p, p.axis) for n, p in side.items()} for side in (self.inputs, self.outputs))
        return {"constants": constants, **dict(zip(("inputs", "outputs"), ends, strict=True))}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Rounding:
        """Return what ``plain`` gave."""
        constants = {
            d: (parse_marker(name), bool(dynamic)) for d, (name, dynamic) in plain["constants"].items()
        }
        inputs, outputs = (
            {n: parse_marker(m) for n, m in plain[side].items()} for side in ("inputs", "outputs")
        )
        return cls(constants, inputs, outputs)


def marker_name(parameters: QdqParameters, axis: int | None) -> str:
    """Return the name of the composite that stands for a rounding.

    Args:
        parameters: of the value.
        axis: of its channels in the order that the array has.
    """
    numbers = parameters.scale.tobytes().hex(), parameters.zero_point.astype("<i4").tobytes().hex()
    place = "none" if axis is None else str(axis)
    return ".".join((MARKER, parameters.dtype, place, *numbers))


def parse_marker(name: str) -> QdqParameters:
    """Return what ``marker_name`` wrote.

    Example:
        >>> given = QdqParameters("int8", np.asarray([0.5], np.float32), np.asarray([3]))
        >>> parse_marker(marker_name(given, None)).zero_point.tolist()
        [3]
    """
    dtype, axis, scale, zero_point = name.split(".")[-4:]
    scales = np.frombuffer(bytes.fromhex(scale), "<f4")
    points = np.frombuffer(bytes.fromhex(zero_point), "<i4").astype(np.int64)
    return QdqParameters(dtype, scales.astype(np.float32), points, None if axis == "none" else int(axis))


def digest(values: Array) -> str:
    """Return a text that is equal for the same float32 values in any order and shape.

    Sums of the bit patterns and of their squares modulo 2⁶⁴: layouts move weights, and change none.

    Example:
        >>> digest(np.asarray([[1.0, 2.0]], np.float32)) == digest(np.asarray([2.0, 1.0], np.float32))
        True
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).reshape(-1).astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = (bits ^ (bits << np.uint64(21))) * np.uint64(0x9E3779B97F4A7C15)
        sums = bits.sum(dtype=np.uint64), (bits * bits).sum(dtype=np.uint64), mixed.sum(dtype=np.uint64)
    return "-".join([str(bits.size), *(f"{int(s):x}" for s in sums)])


def symmetric16(parameters: QdqParameters) -> QdqParameters:
    """Return the int16 parameters with zero point 0 that hold the range of 16-bit ones.

    Args:
        parameters: of uint16, or of int16 with a zero point: LiteRT takes neither.
    """
    low, high = LIMITS[parameters.dtype]
    zero = parameters.zero_point
    reach = np.maximum(high - zero, zero - low) * parameters.scale.astype(np.float64)
    scale = (reach / LIMITS["int16"][1]).astype(np.float32)
    return replace(parameters, dtype="int16", scale=scale, zero_point=np.zeros_like(zero))

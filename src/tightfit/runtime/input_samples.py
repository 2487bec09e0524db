"""What a model's inputs look like, and samples that fit them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tightfit.errors import DataError
from tightfit.types import Array


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: the signature's name for it, or the tensor's.
        shape: as allocated at load. shape_signature: -1 where the file leaves a dimension free.
        dtype: NumPy's name, or ``string``.
        scale, zero_point: how integers stand for reals, or None: ``real = scale * (q - zero_point)``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    shape_signature: tuple[int, ...] = ()


def fit_sample(sample: Mapping[str, Any], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Return the sample with each array in its input's dtype; shapes may differ in size, not in rank.

    Raises:
        DataError: an input is missing or unknown, or an array would lose its meaning in the input's dtype.

    Example:
        >>> spec = TensorSpec("x", (1, 2), "float32")
        >>> fit_sample({"x": [[1, 2]]}, [spec])["x"].dtype
        dtype('float32')
    """
    names = [spec.name for spec in specs]
    if set(sample) != set(names):
        raise DataError(
            f"A sample has the inputs {_quoted(sample)}; the model takes {_quoted(names)}. "
            "Name each array as the model's input."
        )
    return {spec.name: _fit_array(np.asarray(sample[spec.name]), spec) for spec in specs}


def _fit_array(array: Array, spec: TensorSpec) -> Array:
    if array.ndim != len(spec.shape) and spec.shape:
        raise DataError(
            f"Input '{spec.name}' takes an array of shape {list(spec.shape)}, received {list(array.shape)}; "
            "the first dimension is usually the batch."
        )
    if spec.dtype == "string":
        return array
    if array.dtype.name == spec.dtype:
        return np.ascontiguousarray(array) if array.ndim else array
    fitted = array.astype(spec.dtype) if _may_cast(array.dtype, np.dtype(spec.dtype)) else None
    if fitted is None or (fitted.dtype.kind in "iu" and not np.array_equal(fitted, array)):
        quantized = (
            "" if spec.scale is None else f" with scale {spec.scale:g} and zero point {spec.zero_point}"
        )
        raise DataError(
            f"Input '{spec.name}' takes {spec.dtype}{quantized}, received {array.dtype} values "
            "that do not fit. Convert the data first."
        )
    return fitted


def _may_cast(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    """True when values keep their meaning; integers of another width or sign are checked by value after."""
    if target.kind in "iu":
        return source.kind in "iu"
    return np.can_cast(source, target, "same_kind")


def random_sample(specs: Sequence[TensorSpec], seed: int = 0) -> dict[str, Array]:
    """Return a sample that any model runs: reals in [-1, 1), quantized integers of full range, else zeros.

    Zeros, because plain integers are often indices that must stay in range.
    """
    generator = np.random.default_rng(seed)
    return {spec.name: _random_array(spec, generator) for spec in specs}


def _random_array(spec: TensorSpec, generator: np.random.Generator) -> Array:
    if spec.dtype == "string":
        return np.full(spec.shape, b"", dtype=object)
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return generator.uniform(-1.0, 1.0, spec.shape).astype(dtype)
    if dtype.kind in "iu" and spec.scale is not None:
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, spec.shape, dtype=dtype, endpoint=True)
    return np.zeros(spec.shape, dtype)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"

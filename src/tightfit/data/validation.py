"""Turns what a source holds into samples that a model takes, or says in one sentence why it cannot.

Shapes and dtypes are brought over only where no value changes; nothing is scaled, clipped or rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tightfit.data.sample import DataRecord, InputSpec, Sample, fit_shape, label_of, shape_text
from tightfit.errors import DataError, unknown_name
from tightfit.types import Array


def check_record(record: DataRecord, specs: Sequence[InputSpec]) -> Sample:
    """The record as a sample whose arrays have exactly the shapes and dtypes that the model takes.

    Raises:
        DataError: names the sample, the input, what was received and what was expected.
    """
    named = name_inputs(record.inputs, specs, record.name)
    inputs = {spec.name: _check_array(named[spec.name], spec, record.name) for spec in specs}
    try:
        label = label_of(record.label)
        labels = {n: own for n, value in record.labels.items() if (own := label_of(value)) is not None}
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{record.name} has a label that is no array: {error}. Pass numbers.") from error
    for each in (label, *labels.values()):
        if isinstance(each, np.ndarray):
            _check_label(each, record.name)
    return Sample(inputs, label, record.position, record.name, labels)


def name_inputs(inputs: Mapping[str, Array], specs: Sequence[InputSpec], where: str) -> dict[str, Array]:
    """The arrays under the names of the model's inputs; ``x`` is a model's only input.

    Raises:
        DataError: for a missing or an unknown name.
    """
    names = [spec.name for spec in specs]
    if len(names) == 1 and list(inputs) == ["x"]:
        return {names[0]: inputs["x"]}
    if list(inputs) == ["x"] and "x" not in names:
        raise DataError(
            f"{where} has one array without a name, and the model has {len(names)} inputs: "
            f"{', '.join(map(repr, names))}. Pass a dict of arrays by input name."
        )
    for name in inputs:
        if name not in names:
            raise DataError(f"{where}: {unknown_name('input', name, names)}")
    missing = [f"'{name}'" for name in names if name not in inputs]
    if missing:
        raise DataError(
            f"{where} has no array for the model's input {', '.join(missing)}; it has {_listed(inputs)}. "
            "Name each array as the model's input."
        )
    return dict(inputs)


def _listed(names: Mapping[str, Array]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def _check_array(array: Array, spec: InputSpec, where: str) -> Array:
    fitted = fit_shape(array, spec)
    if fitted is None:
        batch = "" if spec.has_batch else " (the model has no batch dimension of one)"
        raise DataError(
            f"{where} has shape {shape_text(array.shape)} for input '{spec.name}', which takes "
            f"{shape_text(spec.sample_shape)}{batch}. Bring the data to that shape."
        )
    cast = _cast(fitted, spec, where)
    if cast.dtype.kind in "fc" and not np.isfinite(cast).all():
        count = int((~np.isfinite(cast)).sum())
        values = "1 value that is" if count == 1 else f"{count} values that are"
        raise DataError(
            f"{where} has {values} NaN or infinite in input '{spec.name}'. Remove the sample or repair it."
        )
    return cast


def _cast(array: Array, spec: InputSpec, where: str) -> Array:
    """The array in the input's dtype; a quantized input is held as float32 reals."""
    target = _numpy_dtype(spec)
    if spec.is_quantized:
        if array.dtype == target:
            real = (array.astype(np.float32) - np.float32(spec.zero_point or 0)) * np.float32(spec.scale or 1)
            return real.astype(np.float32)
        target = np.dtype(np.float32)
    if array.dtype == target:
        return np.asarray(array, order="C")
    if array.dtype.kind not in "fiubc":
        raise DataError(f"{where} has dtype {array.dtype} for input '{spec.name}', which takes {spec.dtype}.")
    if target.kind in "fc":
        return _to_float(array, target, spec, where)
    return _to_integer(array, target, spec, where)


def _numpy_dtype(spec: InputSpec) -> np.dtype[np.generic]:
    try:
        return np.dtype(spec.dtype)
    except TypeError:
        raise DataError(
            f"Input '{spec.name}' takes {spec.dtype}, which cannot be fed from data. "
            "Convert the model with numeric inputs of 8 bits or more."
        ) from None


def _to_float(array: Array, target: np.dtype[np.generic], spec: InputSpec, where: str) -> Array:
    if array.dtype.kind == "c" and target.kind == "f":
        raise DataError(
            f"{where} is complex for input '{spec.name}', which takes {spec.dtype}. Pass real numbers."
        )
    with np.errstate(over="ignore"):
        cast = array.astype(target)
    if (
        array.dtype.kind in "iu"
        and array.dtype.itemsize >= target.itemsize
        and (cast.astype(array.dtype) != array).any()
    ):
        raise DataError(
            f"{where} has integers too large for {target} in input '{spec.name}'. Pass smaller ones."
        )
    return cast


def _to_integer(array: Array, target: np.dtype[np.generic], spec: InputSpec, where: str) -> Array:
    if array.dtype.kind in "fc":
        raise DataError(
            f"{where} has dtype {array.dtype} for input '{spec.name}', which takes {spec.dtype}. "
            "Pass integers: rounding would change the data."
        )
    low, high = (0, 1) if target.kind == "b" else (np.iinfo(target).min, np.iinfo(target).max)  # type: ignore[type-var]
    if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
        raise DataError(
            f"{where} has values from {array.min()} to {array.max()} in input '{spec.name}', "
            f"which takes {spec.dtype} ({low} to {high})."
        )
    return array.astype(target)


def _check_label(label: Array, where: str) -> None:
    if label.dtype.kind not in "fiub":
        raise DataError(
            f"{where} has a label of dtype {label.dtype}. Pass class indices or arrays of numbers."
        )
    if label.dtype.kind == "f" and not np.isfinite(label).all():
        raise DataError(f"{where} has a label with NaN or infinite values. Remove the sample or repair it.")

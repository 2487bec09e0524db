"""What arguments alone tell: refused before a model is converted, for every verb and command alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tightfit import data, evaluation
from tightfit.api import parameters
from tightfit.argument_types import check_ranges
from tightfit.conversion.formats import find_format, is_spec, is_tflite, require_tflite
from tightfit.conversion.hub import is_hub_reference
from tightfit.errors import ModelError, OptionError
from tightfit.spoken import EARLY_CHECKS


def check_early(given: Mapping[str, object]) -> None:
    """Refuse an argument by its name and value, without reading a model or samples.

    Args:
        given: argument or option → value; names without a check, and None, are left alone.

    Raises:
        TightfitError: a path names nothing, or a value is out of range or not understood.

    Example:
        >>> check_early({"model": "absent.tflite"})
        Traceback (most recent call last):
        tightfit.errors.ModelError: There is no model 'absent.tflite'; check the path.
    """
    check_ranges(given)
    _belonging(given)
    _quantized_of(given.get("model"), given.get("quantized"))
    for name, value in given.items():
        if value is not None and name in _CHECKS:
            _CHECKS[name](value)


def _belonging(given: Mapping[str, object]) -> None:
    """An option without the one that it is for; an object of options may hold that one."""
    held = [value for value in given.values() if type(value).__module__.startswith("tightfit.")]
    for name, other in _NEEDS.items():
        if given.get(name) is None or any(getattr(each, other, None) is not None for each in held):
            continue
        if given.get(other) is None:
            raise OptionError(f"Received --{_option(name)} without --{other}, which it is for. Give both.")


def _quantized_of(model: object, quantized: object) -> None:
    """A file beside the model that it was made of: a ``.tflite``, and another one than the model."""
    if not isinstance(quantized, str | os.PathLike):
        return
    require_tflite(Path(quantized), "The quantized model")
    if isinstance(model, str | os.PathLike) and Path(model).resolve() == Path(quantized).resolve():
        raise OptionError(
            f"Received '{os.fspath(model)}' as the float model and as the quantized one; expected the float "
            "model first, then the file that was made of it."
        )


def _option(name: str) -> str:
    return name.replace("_", "-")


def _data(given: Any) -> None:
    """Data that names nothing on disk; of a mapping from signatures, each."""
    data.check_data(*(given.values() if isinstance(given, Mapping) else (given,)))


def _models(given: Any) -> None:
    """Paths of models, one or several, that are not there."""
    for each in given if isinstance(given, list | tuple) else (given,):
        if isinstance(each, str | os.PathLike):
            _model(os.fspath(each))


def _model(given: str | bytes) -> None:
    path = Path(os.fsdecode(given))
    if is_hub_reference(given) or is_spec(path) or _is_other(path):
        return
    if not is_tflite(path):
        find_format(path)  # says what it is, and what kinds there are
    elif not path.exists():
        raise ModelError(f"There is no model '{path}'; check the path.")


def _is_other(path: Path) -> bool:
    """True for a pipe, a device, and no name that a disk may have: opening it says so."""
    try:
        return path.exists() and not (path.is_file() or path.is_dir())
    except (OSError, ValueError):
        return True


def _image(given: Any) -> None:
    if not given:
        raise OptionError("Received empty image options; expected such as --image size=224.")
    parameters.image_options(given)


def _size(given: Any) -> None:
    parameters.parse_size(given)


def _metric(given: Any) -> None:
    evaluation.wanted_metrics(given)


_CHECKS: Final[Mapping[str, Callable[[Any], object]]] = {
    **dict.fromkeys(("data", "calibration_data", "validation", "test"), _data),
    **dict.fromkeys(("model", "models", "first", "second", "quantized", "teacher"), _models),
    **dict.fromkeys(("memory", "max_size", "max_zip"), _size),
    "image": _image,
    "metric": _metric,
}
"""Argument → what refuses a wrong value of it."""

_NEEDS: Final = {"image": "data", "memory": "target", "min_accelerated": "target"}
"""Argument → the one that it is for."""

EARLY_CHECKS.append(check_early)

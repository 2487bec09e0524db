"""Checks that need only the arguments: before a model is converted, for every verb and command alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
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
        >>> check_early({"models": ["absent.tflite"]})
        Traceback (most recent call last):
        tightfit.errors.ModelError: There is no model 'absent.tflite'; check the path.
    """
    check_ranges(given)
    _belonging(given)
    for path in (p for name in _MODELS for p in _paths(given.get(name))):
        if _is_there(path) and not is_tflite(path):
            find_format(path)  # says what it is, such as data
    for path in _paths(given.get("quantized")):
        require_tflite(path, "The quantized model")
    for name, check in _CHECKS.items():
        if given.get(name) is not None:
            check(given[name])


def _belonging(given: Mapping[str, object]) -> None:
    """An option without the one that it is for; an object of options may hold that one."""
    held = [value for value in given.values() if type(value).__module__.startswith("tightfit.")]
    for name, (other, advice) in _NEEDS.items():
        if given.get(name) is None or any(getattr(each, other, None) is not None for each in held):
            continue
        if given.get(other) is None:
            raise OptionError(f"Received --{_option(name)} without --{other}; {advice}.")


def _option(name: str) -> str:
    return name.replace("_", "-")


def _data(given: Any) -> None:
    """Data that names nothing on disk; of a mapping from signatures, each."""
    data.check_data(*(given.values() if isinstance(given, Mapping) else (given,)))


def _paths(given: Any) -> Iterator[Path]:
    """The paths of files among one or several models."""
    for each in given if isinstance(given, list | tuple) else (given,):
        if isinstance(each, str | os.PathLike):
            name = os.fsdecode(each)
            if not (is_hub_reference(name) or is_spec(name) or "\0" in name):
                yield Path(name)


def _models(given: Any) -> None:
    """Paths of further models that are not there: the only model of a verb is opened first."""
    for path in _paths(given):
        if not path.exists():
            raise ModelError(f"There is no model '{path}'; check the path.")


def _is_there(path: Path) -> bool:
    """True for a file and a folder; of a pipe or a device, opening it says so."""
    return path.is_file() or path.is_dir()


def _image(given: Any) -> None:
    if not given:
        raise OptionError("Received empty image options; expected such as --image size=224.")
    parameters.image_options(given)


def _size(given: Any) -> None:
    parameters.parse_size(given)


def _metric(given: Any) -> None:
    evaluation.wanted_metrics(given)


_CHECKS: Final[Mapping[str, Callable[[Any], object]]] = {
    **dict.fromkeys(("memory", "max_size", "max_zip"), _size),
    "image": _image,
    "metric": _metric,
    **dict.fromkeys(("data", "calibration_data", "validation", "test"), _data),
    **dict.fromkeys(("first", "second", "quantized", "teacher", "models"), _models),
}
"""Argument → what refuses a wrong value of it."""

_MODELS: Final = ("model", "models", "first", "second", "quantized", "teacher")

_NEEDS: Final = {
    "image": ("data", "give the pictures that it prepares"),
    "memory": ("target", "name the device that has the memory"),
    "min_accelerated": ("target", "name the device that accelerates"),
}
"""Argument → the one that it is for, and what to do."""

EARLY_CHECKS.append(check_early)

"""The user's own functions, named ``module:function``: nothing is imported that was not spelled so."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tightfit.errors import DataError, unknown_name


def load_function(spec: str, expected: str) -> Callable[..., Any]:
    """The function that ``module:function`` names; modules in the current folder are found too.

    Args:
        spec: as the user wrote it; importing its module runs the user's code.
        expected: what messages say that the function does.

    Raises:
        DataError: when the module or the function cannot be loaded.
    """
    module_name, _, attribute = spec.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise DataError(f"The module '{module_name}' of '{spec}' cannot be imported: {error}.") from error
    target: Any = module
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise DataError(unknown_name(f"function in module '{module_name}'", part, _own_functions(target)))
        target = getattr(target, part)
    if not callable(target):
        raise DataError(f"'{spec}' is of type {type(target).__name__}. Expected {expected}.")
    return target  # type: ignore[no-any-return]


def _own_functions(target: Any) -> list[str]:
    """What the module defines itself: what it imports is not meant."""
    members = {name: value for name, value in vars(target).items() if not name.startswith("_")}
    own = getattr(target, "__name__", None)
    return [name for name, value in members.items() if getattr(value, "__module__", None) == own]

"""Names that a package gives and imports at their first use, by the ``__getattr__`` of modules (PEP 562).

What only some commands need is imported as ``from tightfit.diagnosis import doctor`` and used as
``doctor.quick_check(…)``: the other commands start without it, and no function contains an import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def late(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: its ``__name__``.
        places: name → module of the package that defines it.

    Example:
        >>> late("tightfit.diagnosis.doctor", {"quick_check": "notes"})("quick_check").__name__
        'quick_check'
    """

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{places[name]}"), name)

    return find

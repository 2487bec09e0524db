"""The scripts that write pages and their figures, loaded as modules."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

from support.places import ROOT

DOCS = ROOT / "docs"


def generator() -> Any:
    """Return ``docs/generate.py``."""
    return _script("generate")


@cache
def figures_of() -> Any:
    """Return ``docs/stored_figures.py``."""
    return _script("stored_figures")


def completeness() -> Any:
    """Return ``docs/complete.py``."""
    return _script("complete")


def _script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

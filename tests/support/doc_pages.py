"""The script that writes the generated pages, loaded as a module."""

from __future__ import annotations

import importlib.util
from typing import Any

from support.places import ROOT

DOCS = ROOT / "docs"


def generator() -> Any:
    """Return ``docs/generate.py``."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

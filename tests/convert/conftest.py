"""Keras is needed by all of these tests; its backend is JAX in this process where nothing else was chosen."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent

os.environ.setdefault("KERAS_BACKEND", "jax")

NEEDED = ("keras", "jax", "litert_converter")
# Keras and its backends warn about each other's ways, which nothing here can change.
FOREIGN = ("ignore::DeprecationWarning", "ignore::UserWarning:keras.*", "ignore::FutureWarning")


def pytest_collection_modifyitems(items):
    missing = [name for name in NEEDED if find_spec(name) is None]
    for item in items:
        if HERE not in item.path.parents:
            continue
        for rule in FOREIGN:
            item.add_marker(pytest.mark.filterwarnings(rule))
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}: the extra 'keras'"))

"""The same examples on every machine, and the warnings of libraries that tests of Keras let pass."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

# Without it Keras takes the backend of its own configuration, which may not be installed.
os.environ.setdefault("KERAS_BACKEND", "jax")

settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

HERE = Path(__file__).parent
TRAINS = ("training", "recovery", "api", "conversion")
"""Folders whose tests load Keras."""
NEEDS_KERAS = ("conversion",)
KERAS = ("keras", "jax", "litert_converter")

# Keras and its backends warn about each other's ways, which nothing here can change.
FOREIGN = (
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::UserWarning:keras.*",
    "ignore::UserWarning:torch.*",
)


@pytest.fixture(autouse=True, scope="module")
def _forget_user_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget modules that the tests of a file wrote: one of the same name in another file is its own."""
    yield
    place = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(place):
            del sys.modules[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the libraries of some tests warn; skip what needs Keras where it is not installed."""
    missing = [name for name in KERAS if find_spec(name) is None]
    for item in items:
        folder = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        if folder in TRAINS:
            for rule in FOREIGN:
                item.add_marker(pytest.mark.filterwarnings(rule))
        if missing and folder in NEEDS_KERAS:
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}: the extra 'keras'"))

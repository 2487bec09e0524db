"""The one-op cases of the quantization tests are used here too: they lie in that folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Hundreds of small programs run once each: what XLA spends on making them fast is most of the time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "quantization"))

# Keras and its backends warn about each other's ways, which nothing here can change.
FOREIGN = ("ignore::DeprecationWarning", "ignore::UserWarning:keras.*", "ignore::UserWarning:torch.*")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets the libraries of the training tests warn."""
    for item in items:
        if HERE in item.path.parents:
            for rule in FOREIGN:
                item.add_marker(pytest.mark.filterwarnings(rule))

"""The layers of a Keras source that its user froze."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from tightfit.conversion.keras.safe_files import config_nodes, read_config
from tightfit.errors import ModelError
from tightfit.graph.ir import Model

_FILES: Final = (".keras", ".h5", ".hdf5")


def frozen_in(model: Any, graph: Model) -> tuple[frozenset[str], list[str]]:
    """Return the keys of the constants that stay as they are, and notes for the user.

    Args:
        model: what ``finetune`` was given: a Keras model, a path, anything else.
        graph: the float graph of it.
    """
    if isinstance(model, str | Path) and Path(model).suffix in _FILES:
        return frozenset(), _of_file(Path(model))
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Model):
        return frozenset(), []
    from tightfit.training.frozen_layers import frozen_constants  # noqa: PLC0415 - loads Keras

    return frozen_constants(model, graph.main)


def _of_file(path: Path) -> list[str]:
    """A note where a file freezes layers: its layers are not loaded here."""
    try:
        nodes = list(config_nodes(read_config(path)))
    except ModelError:
        return []
    names = [n["config"].get("name") for n in nodes if isinstance(n.get("config"), dict)
             and n["config"].get("trainable") is False]  # fmt: skip
    if not names:
        return []
    return [
        f"{len(names)} layers of '{path.name}' have trainable=False and are trained, as a file is read "
        "without its layers; pass the model that Keras loads from it to keep them."
    ]

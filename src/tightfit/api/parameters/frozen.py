"""The layers of a Keras source that its user froze."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from tightfit.conversion.conversion_options import ConversionOptions
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
        return _of_file(Path(model), graph)
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Model):
        return frozenset(), []
    from tightfit.training.frozen_layers import frozen_constants  # noqa: PLC0415 - loads Keras

    return frozen_constants(model, graph.main)


def _of_file(path: Path, graph: Model) -> tuple[frozenset[str], list[str]]:
    """Those of a file, which is loaded as a conversion loads it: no code of the file runs."""
    names = _frozen_names(path)
    if not names:
        return frozenset(), []
    from tightfit.conversion.keras.keras_export import load_file  # noqa: PLC0415 - loads Keras
    from tightfit.training.frozen_layers import frozen_constants  # noqa: PLC0415 - loads Keras

    try:
        return frozen_constants(load_file(path, ConversionOptions()), graph.main)
    except ModelError:
        return frozenset(), [
            f"{len(names)} layers of '{path.name}' have trainable=False and are trained, as the file is not "
            "loaded here without code of its own; pass the model that Keras loads from it to keep them."
        ]


def _frozen_names(path: Path) -> list[str]:
    """The layers that a file's config freezes."""
    try:
        nodes = list(config_nodes(read_config(path)))
    except ModelError:
        return []
    return [str(n["config"].get("name")) for n in nodes if isinstance(n.get("config"), dict)
            and n["config"].get("trainable") is False]  # fmt: skip

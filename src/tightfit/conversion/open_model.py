"""The boundary through which every verb takes a MODEL; of a ``.tflite`` nothing that converts is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tightfit import conversion
from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.formats import is_spec, is_tflite
from tightfit.conversion.held_models import file_of, held_file
from tightfit.conversion.hub import fetch, is_hub_reference
from tightfit.paths import refuse_endless


def open_model(source: Any, *, trust: bool = False) -> Path:
    """Return the path of a ``.tflite``: the source itself, or what it is converted to for this process.

    Raises:
        ModelError, OptionError: see ``load_model.load``.
    """
    source = file_of(source)
    if is_hub_reference(source):
        source = fetch(source)
    if isinstance(source, str | os.PathLike):
        refuse_endless(Path(source), "The model")
    if isinstance(source, str | os.PathLike) and not is_spec(str(source)) and is_tflite(str(source)):
        return Path(source)
    if isinstance(source, bytes | bytearray | memoryview):
        source = held_file(bytes(source))
        if is_tflite(str(source)):
            return Path(source)
    if not isinstance(source, str | os.PathLike):
        return _converted(source, trust=trust)
    key = (str(source), trust, _state(Path(source)))
    if key not in _opened:
        _opened[key] = _converted(source, trust=trust)
    return _opened[key]


_opened: dict[tuple[str, bool, tuple[int, ...]], Path] = {}
"""Conversions of this process; a source that changed on disk is converted anew."""


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes when a file or a folder is written anew; empty for ``module:attribute``."""
    if path.is_dir():
        return tuple(v for inner in sorted(path.rglob("*")) for v in _state(inner) if inner.is_file())
    try:
        facts = path.stat()
    except OSError:
        return ()
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _converted(source: Any, *, trust: bool) -> Path:
    return conversion.load(source, options=ConversionOptions(trust=trust)).path

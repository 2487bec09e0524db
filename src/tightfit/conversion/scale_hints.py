"""Whether a model of another framework may be quantized, by the words in its file."""

from __future__ import annotations

import mmap
import os
import re
import zipfile
from pathlib import Path
from typing import Any, Final

from tightfit.conversion.formats import FORMATS, SAVED_MODEL, is_spec

_WORDS: Final = re.compile(rb'uanti[zZ](?!ation_config"?: ?null)|QLinear|int8|int4|FakeQuant|float8')
"""Words of which a file with scales has one: names of ops, classes, types and policies."""
_MOST_BYTES: Final = 16 << 20
"""Largest description inside an archive that is searched."""


def may_be_quantized(source: Any) -> bool:
    """Return False only for a file that surely has no scales of its own.

    Args:
        source: what a verb takes as a model; objects, ``module:attribute`` and ``.tflite`` files may have.
    """
    if not isinstance(source, str | os.PathLike) or is_spec(str(source)):
        return True
    path = Path(source)
    row = next((row for row in FORMATS if row.fits(path) and path.exists()), None)
    if row is None:
        return True
    try:
        return _has_words(path / "saved_model.pb" if row is SAVED_MODEL else path)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return True  # opening it says what is wrong


def _has_words(path: Path) -> bool:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            texts = [i for i in archive.infolist() if i.filename.endswith((".json", ".txt"))]
            if any(i.file_size > _MOST_BYTES for i in texts):
                return True
            return any(_WORDS.search(archive.read(i)) for i in texts)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _WORDS.search(data) is not None

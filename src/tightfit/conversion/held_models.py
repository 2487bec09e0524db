"""Models that a caller holds in memory, and files that live as long as the process."""

from __future__ import annotations

import atexit
import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

from tightfit.errors import ModelError
from tightfit.result import Result
from tightfit.scratch import kept_folder

_folder: list[Path] = []


def label_of(source: object) -> str:
    """Return what a model is called in messages and file names: its path, or its type."""
    if isinstance(source, tuple) and source:
        source = source[0]  # a torch module and its example inputs
    source = file_of(source)
    return os.fspath(source) if isinstance(source, str | os.PathLike) else type(source).__name__


_MAGIC: Final = ((4, b"TFL3", ".tflite"), (0, b"\x89HDF", ".h5"))


def file_of(source: Any) -> Any:
    """Return the file of a result of this package, or the source as it is."""
    path = getattr(source, "path", None) if isinstance(source, Result) else None
    return source if path is None else path


def held_file(data: bytes) -> Path:
    """Return the path of a file with a model that was given as bytes; equal bytes have one file.

    Args:
        data: of a ``.tflite``, ``.keras``, ``.h5``, ``.pt2`` or ``.onnx``.
    """
    key = hashlib.sha256(data).hexdigest()
    if key not in _held:
        place = temporary_place("model").with_suffix(_suffix(data))
        place.write_bytes(data)
        _held[key] = place
    return _held[key]


_held: dict[str, Path] = {}


def _suffix(data: bytes) -> str:
    """The kind of a model by its first bytes; of a zip archive, by the names in it."""
    for start, magic, suffix in _MAGIC:
        if data[start : start + len(magic)] == magic:
            return suffix
    if data.startswith(b"\x08"):  # ONNX: the first field is ir_version, a number
        return ".onnx"
    if not data.startswith(b"PK"):
        raise ModelError(
            f"The {len(data):,} bytes are no model; expected those of a .tflite, .keras, .h5, .pt2 or "
            ".onnx file."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return ".keras" if "config.json" in archive.namelist() else ".pt2"
    except zipfile.BadZipFile as error:
        raise ModelError(f"The bytes are a damaged archive ({error}). Expected a model's file.") from error


def temporary_place(label: str) -> Path:
    """Return the path of a file of its own, in a folder that goes when the process ends.

    Args:
        label: what the file's name is made of.
    """
    if not _folder:
        _folder.append(kept_folder())
        atexit.register(shutil.rmtree, _folder[0], ignore_errors=True)
    stem = "".join(c if c.isalnum() or c in "._-" else "_" for c in Path(label).stem)[:60] or "model"
    own = Path(tempfile.mkdtemp(dir=_folder[0]))
    return own / f"{stem}.tflite"

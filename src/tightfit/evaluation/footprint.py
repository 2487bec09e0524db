"""What a file costs: on the device, in a package, over the air."""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from tightfit.errors import ModelError

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Footprint:
    """Sizes of one file.

    Args:
        size_bytes: as it is.
        zip_bytes: as the only file of a zip archive, deflate level 6, the archive's own tables included.
        zstd_bytes: as a zstd frame, level 12.
    """

    size_bytes: int
    zip_bytes: int
    zstd_bytes: int


def footprint(path: str | Path) -> Footprint:
    """Return the sizes of a file, plain and compressed; nothing is written and memory stays small.

    Raises:
        ModelError: the file cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            zip_bytes = _zip_bytes(file, path.name, size_bytes)
            file.seek(0)
            return Footprint(size_bytes, zip_bytes, _zstd_bytes(file, size_bytes))
    except OSError as error:
        raise ModelError(f"Cannot read '{path}': {error.strerror}. Check the path.") from error


class _Scale:
    """A file that only weighs what is written to it."""

    def __init__(self) -> None:
        self.bytes = 0

    def write(self, data: bytes) -> int:
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def _zip_bytes(file: IO[bytes], name: str, size_bytes: int) -> int:
    scale = _Scale()
    with (
        zipfile.ZipFile(scale, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,  # type: ignore[call-overload]
        archive.open(name, "w", force_zip64=size_bytes >= 1 << 31) as member,
    ):
        shutil.copyfileobj(file, member, _CHUNK_BYTES)
    return scale.bytes


def _zstd_bytes(file: IO[bytes], size_bytes: int) -> int:
    """The frame's size; one made by several threads does not depend on how many there are."""
    compressor = zstandard.ZstdCompressor(level=12, threads=os.cpu_count() or 1)
    scale = _Scale()
    compressor.copy_stream(file, scale, size=size_bytes, read_size=_CHUNK_BYTES)  # type: ignore[arg-type]
    return scale.bytes

"""Files attached to a ``.tflite`` as a zip: labels, vocabularies and other files of the TFLite metadata.

The zip's offsets count from the start of the model, as ``zipfile`` in mode "a" writes them and the readers of
TFLite Metadata and MediaPipe Tasks expect. Entries are stored uncompressed: their C++ reader supports no
others. Nothing is unpacked to the disk. Source: "Adding metadata to TensorFlow Lite models" and
``metadata_extractor.cc`` of TFLite Support.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any, Final

_END: Final = b"PK\x05\x06"
_TAIL: Final = 65_557
"""Longest end record of a zip: 22 bytes and a comment."""
_LARGEST: Final = 2**28
_MOST: Final = 4096
_DATE: Final = (1980, 1, 1, 0, 0, 0)


def read_attached(data: Any) -> dict[str, bytes]:
    """Return the files attached to a model, name → content; empty without a complete zip.

    Args:
        data: the bytes of the file, or an object with the buffer protocol.

    Raises:
        ValueError: there are more than 4,096 files, or they unpack to more than 256 MiB.
    """
    view = memoryview(data)
    if bytes(view[-_TAIL:]).rfind(_END) < 0:
        return {}
    try:
        with zipfile.ZipFile(_Reader(view)) as archive:
            entries = [e for e in archive.infolist() if not e.is_dir()]
            if len(entries) > _MOST or sum(e.file_size for e in entries) > _LARGEST:
                raise ValueError("the files packed behind it unpack to more than 256 MiB or are over 4,096")
            return {e.filename: archive.read(e) for e in entries}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError):
        return {}  # weights may hold the mark by chance; an encrypted or damaged zip is of no use either


def pack_attached(files: Mapping[str, bytes], start: int) -> bytes:
    """Return the zip to append to a model of ``start`` bytes; nothing where there are no files.

    Example:
        >>> model = bytes(100)
        >>> read_attached(model + pack_attached({"labels.txt": b"cat"}, len(model)))
        {'labels.txt': b'cat'}
    """
    if not files:
        return b""
    stream = _Behind(start)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
    return stream.getvalue()


class _Behind(io.BytesIO):
    """A stream whose positions count from the start of a longer file."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = start

    def tell(self) -> int:
        return super().tell() + self.start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return super().seek(offset - self.start if whence == io.SEEK_SET else offset, whence) + self.start


class _Reader(io.RawIOBase):
    """A seekable stream over memory, without a copy."""

    def __init__(self, view: memoryview) -> None:
        super().__init__()
        self.view = view
        self.at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: len(self.view)}[whence]
        if base + offset < 0:
            raise OSError("a position before the start")
        self.at = base + offset
        return self.at

    def readinto(self, buffer: Any) -> int:
        part = self.view[self.at : self.at + len(buffer)]
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)

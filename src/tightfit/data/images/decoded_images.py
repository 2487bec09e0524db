"""Pixels of images that were decoded, on disk: one command reads the same images many times."""

from __future__ import annotations

import os
import tempfile
import weakref
from typing import IO, Final, NamedTuple

import numpy as np

from tightfit.types import Array

MOST_BYTES: Final = 512 << 20
"""What the file of one data set may hold; images beyond are decoded each time. Many systems keep temporary
files in memory."""


class _Place(NamedTuple):
    offset: int
    shape: tuple[int, ...]


class Decoded:
    """uint8 arrays by number in a temporary file, which goes with it; for one thread that writes.

    Args:
        most_bytes: nothing is added beyond.

    Example:
        >>> pixels = Decoded(most_bytes=8)
        >>> pixels.put(3, np.full((1, 2, 3), 7, np.uint8))
        >>> pixels.put(4, np.full((1, 2, 3), 9, np.uint8))
        >>> pixels.get(3).tolist(), pixels.get(4)
        ([[[7, 7, 7], [7, 7, 7]]], None)
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._left = most_bytes
        self._places: dict[int, _Place] = {}
        self._file: IO[bytes] | None = None
        self._end = 0

    def put(self, number: int, pixels: Array) -> None:
        """Adds an image, as long as there is room for it."""
        if number in self._places or pixels.nbytes > self._left:
            return
        try:
            written = os.pwrite(self._opened().fileno(), np.ascontiguousarray(pixels).data, self._end)
        except OSError:  # no space is left: it works without
            self._left = 0
            return
        if written == pixels.nbytes:
            self._places[number] = _Place(self._end, pixels.shape)
            self._end += written
            self._left -= written

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as this object
            weakref.finalize(self, self._file.close)
        return self._file

    def get(self, number: int) -> Array | None:
        """Return an image that was added, or None."""
        place = self._places.get(number)
        if place is None or self._file is None:
            return None
        pixels = np.empty(place.shape, np.uint8)
        read = os.preadv(self._file.fileno(), [pixels.data.cast("B")], place.offset)
        return pixels if read == pixels.nbytes else None

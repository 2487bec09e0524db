"""Decoded samples in a temporary file without a name, so that memory does not grow with their number."""

from __future__ import annotations

import os
import pickle
import struct
import tempfile
import weakref
from typing import Any, Final

MOST_BYTES: Final = 1_500_000_000
"""Bytes that are kept at most; other samples are decoded anew."""

_HEAD: Final = struct.Struct("<Q")


class KeptSamples:
    """Samples by number; those that find no room are not kept.

    Args:
        most_bytes: largest size of the file.

    Example:
        >>> kept = KeptSamples()
        >>> kept.add(7, {"x": [1, 2]})
        True
        >>> kept.get(7), 8 in kept
        ({'x': [1, 2]}, False)
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the samples
        weakref.finalize(self, self._file.close)
        self._most, self._size = most_bytes, 0
        self._offsets: dict[int, int] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._offsets

    def add(self, number: int, sample: Any) -> bool:
        """Keep a sample; return False where there is no room for it."""
        data = pickle.dumps(sample, protocol=5)
        whole = _HEAD.size + len(data)
        if self._size + whole > self._most:
            return False
        try:
            os.pwrite(self._file.fileno(), _HEAD.pack(len(data)) + data, self._size)
        except OSError:  # the disk is full
            self._most = self._size
            return False
        self._offsets[number] = self._size
        self._size += whole
        return True

    def get(self, number: int) -> Any:
        """Return a sample that was kept."""
        offset, file = self._offsets[number], self._file.fileno()
        (size,) = _HEAD.unpack(os.pread(file, _HEAD.size, offset))
        return pickle.loads(os.pread(file, size, offset + _HEAD.size))  # noqa: S301 - this process wrote it

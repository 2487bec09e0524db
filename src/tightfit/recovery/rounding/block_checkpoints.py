"""Checkpoints of block reconstruction on disk, from which a stopped run resumes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from tightfit.files import atomic_file
from tightfit.types import Array

Arrays = dict[str, Array]


class FinishedBlocks:
    """The arrays of each finished block, one file each; arrays only, so reading a file executes nothing.

    Args:
        folder: the folder of the files; None stores nothing.
        facts: bytes that the arrays depend on; files made from others are not read.
    """

    def __init__(self, folder: Path | None, facts: Iterable[bytes]) -> None:
        digest = hashlib.sha256()
        for fact in facts:
            digest.update(fact)
        self.folder, self.key = folder, digest.hexdigest()[:16]

    def get(self, index: int) -> Arrays | None:
        """Return the arrays of a block, or None when it is not finished or its file is not a checkpoint."""
        path = self._path(index)
        if path is None or not path.is_file():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # broken, or not a checkpoint: the block is learned again

    def put(self, index: int, arrays: Mapping[str, Array]) -> None:
        """Write the arrays of a block, whole or not at all."""
        path = self._path(index)
        if path is None:
            return
        buffer = io.BytesIO()
        np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]  # arrays by name, no other option
        with atomic_file(path) as file:
            file.write(buffer.getvalue())

    def remove(self) -> None:
        """Delete the files, and the folder when it is then empty."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in self.folder.glob(f"{self.key}-*.npz"):
            path.unlink()
        with contextlib.suppress(OSError):  # not empty: another recovery's files are kept
            self.folder.rmdir()

    def _path(self, index: int) -> Path | None:
        return None if self.folder is None else self.folder / f"{self.key}-{index}.npz"

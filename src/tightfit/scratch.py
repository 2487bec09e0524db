"""Temporary folders that a killed run leaves no trace of: the next run removes what no living process holds.

Every folder is locked (``flock``) by the process that made it, for as long as that lives. A folder that can
be locked belongs to nobody: ``sweep`` removes it. File systems without locks keep their folders until they
are removed by their owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tightfit.errors import OptionError

BESIDE: Final = ".tightfit-"
"""How the name of a scratch folder or file begins; eight characters by chance follow."""
_OURS: Final = re.compile(re.escape(BESIDE) + r"[a-z0-9_]{8}")


@contextlib.contextmanager
def scratch_folder(beside: Path | None = None) -> Iterator[Path]:
    """Return a new folder; it goes when the block ends, or when the next run finds this process gone.

    Args:
        beside: make it in this folder, hidden; None: where the system keeps temporary files.

    Raises:
        OSError: it cannot be made.
    """
    path, handle = _locked(beside)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def scratch_file(beside: Path) -> tuple[Path, int]:
    """Return a new, hidden, locked file in a folder, and its descriptor, open for writing.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        handle, name = tempfile.mkstemp(dir=beside, prefix=BESIDE)
        if _holds(Path(name), handle):
            return Path(name), handle
        os.close(handle)


def kept_folder() -> Path:
    """Return a new folder among the system's temporary files that is locked as long as this process lives."""
    return _locked(None)[0]


def _locked(beside: Path | None) -> tuple[Path, int]:
    """A new folder and the descriptor that locks it; one that a sweep took in between is made anew."""
    while True:
        path = Path(tempfile.mkdtemp(dir=beside, prefix=BESIDE))
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # a sweep was faster
            continue
        if _holds(path, handle):
            return path, handle
        os.close(handle)


def _holds(path: Path, handle: int) -> bool:
    """Locks an open file or folder; False when a sweep has removed it meanwhile."""
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def sweep(folder: Path) -> None:
    """Removes what killed runs left in a folder: scratch folders and half-written files that nobody holds."""
    for entry in _entries(folder):
        _remove_if_free(Path(entry.path))


def sweep_temporary() -> None:
    """Removes scratch folders of this user's killed runs from the system's place for temporary files."""
    for entry in _entries(Path(tempfile.gettempdir())):
        _remove_if_free(Path(entry.path))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [e for e in entries if _OURS.fullmatch(e.name) and not e.is_symlink()]
    except OSError:
        return []


def _remove_if_free(path: Path) -> None:
    """Removes a file or folder of this user that no process has locked."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            state = os.fstat(handle)
            if state.st_uid != os.getuid():
                return
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stat.S_ISDIR(state.st_mode):
                shutil.rmtree(path, ignore_errors=True)
            elif stat.S_ISREG(state.st_mode):
                path.unlink()
        finally:
            os.close(handle)


@contextlib.contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keeps other runs out of an output folder while the block runs; the lock ends with the process.

    Raises:
        OptionError: another run writes into it.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # whoever writes into it says why that fails
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OptionError(
                f"Another run writes into '{folder}'. Wait until it ends, or choose another folder."
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)

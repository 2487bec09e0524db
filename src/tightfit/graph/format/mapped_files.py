"""Files that are mapped instead of read, and the memory that can be given back between two steps."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import shutil
import weakref
from pathlib import Path
from typing import IO, Final

from tightfit.errors import ModelError
from tightfit.paths import refuse_endless

_COPIED_BYTES: Final = 64 << 20
_CHUNK_BYTES: Final = 1 << 20
_maps: Final[weakref.WeakSet[mmap.mmap]] = weakref.WeakSet()


def map_file(path: Path) -> mmap.mmap:
    """Return the bytes of a file as a read-only map, which stays valid after the file is removed.

    A file of up to 64 MiB is copied first: one that another program cuts or writes anew meanwhile would else
    end this process with SIGBUS, or change the model. Larger files are mapped where they lie.

    Raises:
        ModelError: it cannot be read, is empty, or changes while it is copied.
    """
    refuse_endless(path, "The model")
    if path.is_dir():
        raise ModelError(f"'{path}' is a folder; expected a .tflite file.")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise ModelError(f"'{path}' is empty; expected a .tflite model.")
            if size <= _COPIED_BYTES and hasattr(os, "memfd_create"):
                found = _copy(file, size, path)
            else:
                found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"Cannot read the model '{path}': {error.strerror}. Check the path.") from error
    _maps.add(found)
    return found


def _copy(file: IO[bytes], size: int, path: Path) -> mmap.mmap:
    """Return a map of a file's bytes as they are now."""
    handle = os.memfd_create("model")
    try:
        with os.fdopen(handle, "wb", closefd=False) as copy:
            shutil.copyfileobj(file, copy, _CHUNK_BYTES)
        if os.fstat(handle).st_size != size:
            raise ModelError(f"The model '{path}' changed while it was read. Run the command again.")
        return mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(handle)


def give_back_memory() -> None:
    """Return memory that nothing needs now to the system: garbage, freed blocks, pages of mapped files.

    Graphs refer to themselves, so only the collector frees them; the C library keeps what is freed. A
    page of a mapped file is read again, from the system's cache, when it is next used.
    """
    gc.collect()
    for mapped in list(_maps):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or not this system
            mapped.madvise(mmap.MADV_DONTNEED)
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)

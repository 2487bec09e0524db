"""Files that are mapped instead of read, and the memory that can be given back between two steps."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import weakref
from pathlib import Path
from typing import Final

from tightfit.errors import ModelError
from tightfit.paths import refuse_endless

_maps: Final[weakref.WeakSet[mmap.mmap]] = weakref.WeakSet()


def map_file(path: Path) -> mmap.mmap:
    """Return the bytes of a file as a read-only map, which stays valid after the file is removed.

    Raises:
        ModelError: it cannot be read, or is empty.
    """
    refuse_endless(path, "The model")
    if path.is_dir():
        raise ModelError(f"'{path}' is a folder; expected a .tflite file.")
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise ModelError(f"'{path}' is empty; expected a .tflite model.")
            found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"Cannot read the model '{path}': {error.strerror}. Check the path.") from error
    _maps.add(found)
    return found


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

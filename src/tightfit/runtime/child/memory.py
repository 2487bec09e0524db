"""How much memory a process may allocate: from what a model's file declares, and from the machine.

A hostile file of a few bytes may declare tensors of many gigabytes. So a child that loads a file may
allocate what its tensors declare, several times its size for packed weights, and a share for the runtime
itself, and no process more than the machine has. ``TIGHTFIT_MEMORY`` sets another limit, or ``none``.
"""

from __future__ import annotations

import functools
import math
import os
import re
import struct
from pathlib import Path
from typing import Final

from tightfit.errors import ModelError, OptionError

VARIABLE: Final = "TIGHTFIT_MEMORY"
RUNTIME_BYTES: Final = 1 << 30
"""What Python, NumPy, LiteRT and its threads take besides the model."""
EMULATOR_BYTES: Final = 1 << 29
"""What an emulator takes for itself: translated code, and the stack of the program in it."""
_PER_FILE_BYTE: Final = 12  # int4 weights that a kernel unpacks to float32 take 8, packing them once more 4
_THREAD_BYTES: Final = 16 << 20  # a stack and a heap of its own
_UNITS: Final = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
_GROUPS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# TensorType → bytes of a value; what is not listed counts as one byte (strings, resources, variants).
_WIDTHS: Final = {0: 4, 1: 2, 2: 4, 4: 8, 7: 2, 8: 8, 10: 2, 11: 8, 12: 16, 15: 4, 16: 2, 18: 2}


def memory_limit() -> int | None:
    """Return the bytes that a process may allocate, None for no limit.

    Raises:
        OptionError: ``TIGHTFIT_MEMORY`` is no size.
    """
    asked = os.environ.get(VARIABLE, "").strip()
    if asked.lower() in ("none", "off", "unlimited"):
        return None
    return machine_bytes() if not asked else parse_bytes(asked)


def parse_bytes(text: str) -> int:
    """Return the bytes of a size such as ``8GB`` or ``512MiB``.

    Raises:
        OptionError: it is no size.

    Example:
        >>> parse_bytes("1.5GB")
        1500000000
    """
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)", text)
    if match is None or match[2].upper() not in _UNITS or float(match[1]) <= 0:
        raise OptionError(f"Received {VARIABLE}={text[:40]}; expected a size such as 8GB, or none.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


@functools.cache
def machine_bytes() -> int:
    """Return the memory that this machine, or this container, has."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _GROUPS:
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            whole = min(whole, int(text))
    return whole


def model_limit(model: str | Path | bytes, threads: int = 1) -> int | None:
    """Return the bytes that a process which loads this ``.tflite`` may allocate; None for no limit.

    Args:
        model: path or bytes of the ``.tflite``.
        threads: that it starts.

    Raises:
        ModelError: one tensor of the file is larger than any process may allocate.
    """
    most = memory_limit()
    if most is None:
        return None
    size, total, largest = declared_bytes(model)
    if largest > most:
        raise ModelError(
            f"The model declares a tensor of {size_text(largest)}; a process may allocate {size_text(most)}. "
            "Use a smaller "
            f"model, or set {VARIABLE} to a larger size."
        )
    return min(most, RUNTIME_BYTES + total + _PER_FILE_BYTE * size + _THREAD_BYTES * threads)


def declared_bytes(model: str | Path | bytes) -> tuple[int, int, int]:
    """Return the size of a file, what all its tensors declare, and the largest of them, bytes.

    Free dimensions count as one. A file that cannot be read so counts as one without tensors: reading it
    tells why.
    """
    if isinstance(model, bytes):
        return _declared(model)
    try:
        state = Path(model).stat()
        return _declared_in_file(str(model), state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size)
    except OSError:
        return 0, 0, 0


@functools.lru_cache(maxsize=16)
def _declared_in_file(path: str, *state: int) -> tuple[int, int, int]:
    """The same of a file, once for each state that it was in."""
    del state
    return _declared(path)


def _declared(model: str | bytes) -> tuple[int, int, int]:
    size, data = _content(model)
    try:
        sizes = _tensor_sizes(data)
    except (struct.error, IndexError, ValueError):
        sizes = []
    return size, sum(sizes), max(sizes, default=0)


def _content(model: str | bytes) -> tuple[int, bytes]:
    """The size, and the bytes that hold tables: writers put these before or after all constants."""
    if isinstance(model, bytes):
        return len(model), model
    import mmap  # noqa: PLC0415 - only for files

    with Path(model).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            return size, b""
        return size, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # type: ignore[return-value] # read alike


def _tensor_sizes(data: bytes) -> list[int]:
    """The bytes that each tensor declares."""
    sizes = []
    for graph in _vector(data, _u32(data, 0), 2):
        for tensor in _vector(data, graph, 0):
            kind = _field(data, tensor, 1)
            width = _WIDTHS.get(data[kind] if kind else 0, 1)
            sizes.append(width * math.prod(max(1, d) for d in _integers(data, tensor, 0)))
    return sizes


def _integers(data: bytes, table: int, number: int) -> tuple[int, ...]:
    place = _field(data, table, number)
    if not place:
        return ()
    start = place + _u32(data, place)
    count = min(_u32(data, start), 16)
    return struct.unpack_from(f"<{count}i", data, start + 4)


def _vector(data: bytes, table: int, number: int) -> list[int]:
    """The places of the tables in a vector."""
    place = _field(data, table, number)
    if not place:
        return []
    start = place + _u32(data, place)
    count = _u32(data, start)
    if 4 * count > len(data):
        raise ValueError("a vector longer than the file")
    offsets = struct.unpack_from(f"<{count}I", data, start + 4)
    return [start + 4 + 4 * i + offset for i, offset in enumerate(offsets)]


def _field(data: bytes, table: int, number: int) -> int:
    """The place of a table's field, 0 where it is left out."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0:
        raise ValueError("a table before the file")
    length = struct.unpack_from("<H", data, vtable)[0]
    if 4 + 2 * number >= length:
        return 0
    entry = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0]
    return table + entry if entry else 0


def _u32(data: bytes, place: int) -> int:
    return int(struct.unpack_from("<I", data, place)[0])


def size_text(count: int) -> str:
    """Return a size in GB, as messages say it."""
    return f"{count / 1e9:,.1f} GB" if count < 1e15 else "over a million GB"

"""The arrays inside an ``.npz`` file: names, shapes, where the values lie; damaged files are refused."""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from tightfit.errors import DataError

_LOCAL_HEADER_BYTES = 30


_CHUNK_BYTES = 1 << 20


DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError, RuntimeError,
    OverflowError, TypeError, KeyError, SyntaxError, tokenize.TokenError, AttributeError, IndexError,
    MemoryError,
)  # fmt: skip
"""What the readers of zip members and of array headers raise on damaged ones (RuntimeError: encrypted)."""


@dataclass(frozen=True)
class Member:
    """One array of the file: rows of equal shape along its first dimension.

    Args:
        shape: with the rows first.
        data_offset: bytes from the member's start to its first value.
    """

    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    data_offset: int

    @property
    def is_stored(self) -> bool:
        """True where its bytes lie in the file as they are."""
        return self.info.compress_type == zipfile.ZIP_STORED

    @property
    def row_bytes(self) -> int:
        """The size of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def array_names(path: Path) -> list[str]:
    """The names of the arrays in an ``.npz`` file.

    Raises:
        DataError: when it is not a zip file of arrays.
    """
    with open_npz(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def row_counts(path: Path, names: Sequence[str]) -> dict[str, int]:
    """The number of rows of each array; a single value has none.

    Raises:
        DataError: when an array cannot be read.
    """
    counts = {}
    with open_npz(path) as archive:
        for name in names:
            try:
                counts[name] = read_member(archive, name, path.name).shape[0]
            except DataError:
                counts[name] = 0  # a single value, or objects that are never unpickled: no labels
    return counts


def open_npz(path: Path) -> zipfile.ZipFile:
    """Return the open zip archive of an ``.npz`` file.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        return zipfile.ZipFile(path)
    except DAMAGE as error:
        raise DataError(
            f"'{path.name}' is not an .npz file ({error}). Write one with numpy.savez(path, x=…, y=…)."
        ) from error


def read_member(archive: zipfile.ZipFile, name: str, file: str) -> Member:
    """Return the shape, the type and the place of one array.

    Raises:
        DataError: it is no array, or none of numbers.
    """
    info = archive.getinfo(name + ".npy")
    try:
        with archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran_order, dtype = read(stream)
            offset = stream.tell()
    except DAMAGE as error:
        said = str(error).rstrip(".") or type(error).__name__
        raise DataError(f"Array '{name}' of '{file}' cannot be read: {said}. Write it again.") from error
    _refuse_odd(name, file, shape, dtype)
    member = Member(info, tuple(shape), dtype, fortran_order, offset)
    declared = offset + shape[0] * member.row_bytes
    if declared != info.file_size:
        raise DataError(
            f"Array '{name}' of '{file}' declares {declared:,} bytes and has {info.file_size:,}: it is cut "
            "off or "
            "damaged. Write it again with numpy.savez."
        )
    return member


def _refuse_odd(name: str, file: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise DataError(
            f"Array '{name}' of '{file}' holds pickled Python objects, which could run code. "
            "Save plain numeric arrays of one shape."
        )
    if dtype.kind not in "biufcSUmM" or dtype.itemsize == 0:
        raise DataError(f"Array '{name}' of '{file}' has the type {dtype}. Save plain numeric arrays.")
    if not shape:
        raise DataError(f"Array '{name}' of '{file}' is a single value. Expected one row for each sample.")
    if min(shape) < 0:
        raise DataError(f"Array '{name}' of '{file}' declares the shape {shape}. Write it again.")


def common_count(members: Mapping[str, Member], file: str) -> int:
    """Return the number of rows that all arrays have.

    Raises:
        DataError: they have different numbers.
    """
    counts = {name: member.shape[0] for name, member in members.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        raise DataError(
            f"The arrays of '{file}' have different numbers of rows: {listed}. Save one row for each sample."
        )
    count = next(iter(counts.values()))
    if count == 0:
        raise DataError(f"The arrays of '{file}' have no rows. Pass at least one sample.")
    return count


def member_crc(path: Path, member: Member) -> int:
    """The CRC-32 of the bytes of a member."""
    left, found = member.info.file_size, 0
    if not member.is_stored:
        with zipfile.ZipFile(path) as archive, archive.open(member.info) as content:
            while content.read(_CHUNK_BYTES):  # at its end zipfile compares the CRC
                pass
        return member.info.CRC
    with path.open("rb") as stream:
        stream.seek(value_start(path, member) - member.data_offset)
        while left > 0:
            chunk = stream.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise EOFError("it ends too early")
            found = zlib.crc32(chunk, found)
            left -= len(chunk)
    return found


def value_start(path: Path, member: Member) -> int:
    """The byte of the zip file where a stored member's values begin."""
    with path.open("rb") as stream:
        stream.seek(member.info.header_offset)
        name_bytes, extra_bytes = struct.unpack("<26xHH", stream.read(_LOCAL_HEADER_BYTES))
    header = _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    return int(member.info.header_offset + header + member.data_offset)


def skip_bytes(stream: IO[bytes], count: int) -> None:
    """Read past ``count`` bytes of a stream."""
    while count > 0:
        count -= len(exactly(stream, min(count, _CHUNK_BYTES)))


def exactly(stream: IO[bytes], count: int) -> bytes:
    """Return the next ``count`` bytes of a stream.

    Raises:
        EOFError: it ends before.
    """
    parts: list[bytes] = []
    while count > 0:
        part = stream.read(count)
        if not part:
            raise EOFError("it ends too early")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)

"""Arrays in an ``.npz`` file, read a row at a time.

Members that were stored uncompressed (``numpy.savez``) are read where they lie; compressed ones are read as
a stream, so selecting late rows costs the time, not the memory, of the earlier ones.

No row is believed before its array is whole: the size that the array declares is the size that the zip
directory gives, and the bytes have the CRC-32 that it gives. That check reads each array once, beside the
work, and ends no later than the first pass over the rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from tightfit.data.dataset import scalar_labels
from tightfit.data.sample import DataRecord
from tightfit.errors import DataError
from tightfit.types import Array

_LOCAL_HEADER_BYTES = 30
_CHUNK_BYTES = 1 << 20
_DAMAGE = (
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


class NpzArrays:
    """The chosen arrays of an ``.npz`` file as a source of records.

    Args:
        path: the file.
        inputs: input name → array name.
        label: the labels' array name, or None.
        labels: label name → array name, of labels with names.
        notes: what is not used.
    """

    kind = "arrays"

    def __init__(
        self,
        path: Path,
        inputs: Mapping[str, str],
        label: str | None,
        labels: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.name = path.name
        self.notes = tuple(notes)
        self._path = path
        self._inputs = dict(inputs)
        self._label = label
        self._named = dict(labels or {})
        with _open(path) as archive:
            chosen = [*self._inputs.values(), *([label] if label else []), *self._named.values()]
            self._members = {name: _member(archive, name, path.name) for name in chosen}
        self._count = _common_count(self._members, path.name)
        self._whole: set[str] = set()
        self._checks = self._begin_checks()

    @property
    def has_labels(self) -> bool:
        """True when an array of labels was chosen."""
        return self._label is not None or bool(self._named)

    def named_labels(self) -> dict[str, Array]:
        """The labels with names that are one number a row."""
        return {name: self._scalars(array) for name, array in self._named.items() if self._is_scalar(array)}

    def count(self) -> int:
        """The number of rows."""
        return self._count

    def labels(self) -> Array | None:
        """The labels, when there is one number a row."""
        if self._label is None or not self._is_scalar(self._label):
            return None
        return self._scalars(self._label)

    def _is_scalar(self, array: str) -> bool:
        member = self._members[array]
        return bool(np.prod(member.shape[1:], dtype=int) == 1) and member.dtype.kind in "iubf"

    def _scalars(self, array: str) -> Array:
        return scalar_labels([np.asarray(row).reshape(()) for row in self._rows(array, None)])

    def read(self, indices: Sequence[int] | None) -> Iterator[DataRecord]:
        """Reads the rows in step from all arrays."""
        columns = {name: self._rows(array, indices) for name, array in self._inputs.items()}
        label = self._rows(self._label, indices) if self._label else None
        named = {name: self._rows(array, indices) for name, array in self._named.items()}
        for i in range(self._count) if indices is None else indices:
            inputs = {name: next(rows) for name, rows in columns.items()}
            labels = {name: next(rows) for name, rows in named.items()}
            yield DataRecord(
                i, f"Sample {i} of '{self.name}'", inputs, next(label) if label else None, labels
            )

    def fingerprint(self) -> str:
        """SHA-256 over name, role, shape, dtype and CRC-32 of each array, checked against the bytes.

        Raises:
            DataError: an array is damaged.
        """
        for name in self._members:
            self._check(name)
        digest = hashlib.sha256()
        for name, m in sorted(self._members.items()):
            digest.update(f"{name}\0{m.shape}\0{m.dtype.str}\0{m.info.CRC}\0{self._role(name)}\0".encode())
        return digest.hexdigest()

    def _role(self, array: str) -> str:
        """What an array is: False for an input, True for the labels, or the names of the labels."""
        named = [name for name, own in self._named.items() if own == array]
        return ",".join(named) or str(array == self._label)

    def _rows(self, name: str, indices: Sequence[int] | None) -> Iterator[Array]:
        """Yields the rows; the last one comes after the array was found whole."""
        member = self._members[name]
        wanted = range(self._count) if indices is None else indices
        if member.fortran_order:  # its rows are not contiguous, so there is nothing to stream
            whole = self._loaded(name)
            rows: Iterator[Array] = (whole[i] for i in wanted)
        elif member.is_stored:
            rows = self._seek(member, wanted)
        else:
            rows = self._stream(name, wanted)
        last = len(wanted) - 1
        for position, row in enumerate(rows):
            if position == last:
                self._check(name)
            yield row

    def _loaded(self, name: str) -> Array:
        with self._damage(), np.load(self._path, allow_pickle=False) as archive:
            whole: Array = archive[name]
        self._whole.add(name)  # zipfile compares the CRC of what is read to its end
        return whole

    def _seek(self, member: Member, indices: Sequence[int]) -> Iterator[Array]:
        """Reads rows where they lie: pages of a memory map would count as this process's memory."""
        start = _start(self._path, member)
        with self._path.open("rb") as stream:
            for i in indices:
                stream.seek(start + i * member.row_bytes)
                row = stream.read(member.row_bytes)
                if len(row) < member.row_bytes:
                    raise DataError(f"'{self.name}' is cut off in row {i}. Write it again.")
                yield np.frombuffer(row, member.dtype).reshape(member.shape[1:])

    def _stream(self, name: str, indices: Sequence[int]) -> Iterator[Array]:
        member = self._members[name]
        with self._damage(), zipfile.ZipFile(self._path) as archive, archive.open(member.info) as stream:
            _skip(stream, member.data_offset)
            position = 0
            for i in indices:
                _skip(stream, (i - position) * member.row_bytes)
                row = np.frombuffer(_exactly(stream, member.row_bytes), member.dtype)
                position = i + 1
                yield row.reshape(member.shape[1:])

    def _begin_checks(self) -> dict[str, Future[int]]:
        """Begins to read the arrays, one after the other, in a thread of their own."""
        with contextlib.suppress(RuntimeError):  # no thread can be started: it is done when asked for
            pool = ThreadPoolExecutor(1, thread_name_prefix="tightfit-crc")
            checks = {name: pool.submit(_crc, self._path, member) for name, member in self._members.items()}
            pool.shutdown(wait=False)
            return checks
        return {}

    def _check(self, name: str) -> None:
        """Waits until an array is known to be whole.

        Raises:
            DataError: it is damaged.
        """
        if name in self._whole:
            return
        member = self._members[name]
        with self._damage():
            check = self._checks.get(name)
            found = _crc(self._path, member) if check is None else check.result()
            if found != member.info.CRC:
                raise zipfile.BadZipFile(f"Bad CRC-32 for file '{name}.npy'")
        self._whole.add(name)

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            said = str(error).rstrip(".") or type(error).__name__
            raise DataError(f"'{self.name}' is damaged: {said}. Write it again with numpy.savez.") from error


def array_names(path: Path) -> list[str]:
    """The names of the arrays in an ``.npz`` file.

    Raises:
        DataError: when it is not a zip file of arrays.
    """
    with _open(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def row_counts(path: Path, names: Sequence[str]) -> dict[str, int]:
    """The number of rows of each array; a single value has none.

    Raises:
        DataError: when an array cannot be read.
    """
    counts = {}
    with _open(path) as archive:
        for name in names:
            try:
                counts[name] = _member(archive, name, path.name).shape[0]
            except DataError:
                counts[name] = 0  # a single value, or objects that are never unpickled: no labels
    return counts


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise DataError(
            f"'{path.name}' is not an .npz file ({error}). Write one with numpy.savez(path, x=…, y=…)."
        ) from error


def _member(archive: zipfile.ZipFile, name: str, file: str) -> Member:
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
    except _DAMAGE as error:
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


def _common_count(members: Mapping[str, Member], file: str) -> int:
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


def _crc(path: Path, member: Member) -> int:
    """The CRC-32 of the bytes of a member."""
    left, found = member.info.file_size, 0
    if not member.is_stored:
        with zipfile.ZipFile(path) as archive, archive.open(member.info) as content:
            while content.read(_CHUNK_BYTES):  # at its end zipfile compares the CRC
                pass
        return member.info.CRC
    with path.open("rb") as stream:
        stream.seek(_start(path, member) - member.data_offset)
        while left > 0:
            chunk = stream.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise EOFError("it ends too early")
            found = zlib.crc32(chunk, found)
            left -= len(chunk)
    return found


def _start(path: Path, member: Member) -> int:
    """The byte of the zip file where a stored member's values begin."""
    with path.open("rb") as stream:
        stream.seek(member.info.header_offset)
        name_bytes, extra_bytes = struct.unpack("<26xHH", stream.read(_LOCAL_HEADER_BYTES))
    header = _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    return int(member.info.header_offset + header + member.data_offset)


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0:
        count -= len(_exactly(stream, min(count, _CHUNK_BYTES)))


def _exactly(stream: IO[bytes], count: int) -> bytes:
    parts: list[bytes] = []
    while count > 0:
        part = stream.read(count)
        if not part:
            raise EOFError("it ends too early")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)

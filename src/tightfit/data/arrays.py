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
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tightfit.data.dataset import scalar_labels
from tightfit.data.npz_members import (
    DAMAGE,
    Member,
    common_count,
    exactly,
    member_crc,
    open_npz,
    read_member,
    skip_bytes,
    value_start,
)
from tightfit.data.sample import DataRecord
from tightfit.errors import DataError
from tightfit.types import Array


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
    decodes = False

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
        with open_npz(path) as archive:
            chosen = [*self._inputs.values(), *([label] if label else []), *self._named.values()]
            self._members = {name: read_member(archive, name, path.name) for name in chosen}
        self._count = common_count(self._members, path.name)
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
        start = value_start(self._path, member)
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
            skip_bytes(stream, member.data_offset)
            position = 0
            for i in indices:
                skip_bytes(stream, (i - position) * member.row_bytes)
                row = np.frombuffer(exactly(stream, member.row_bytes), member.dtype)
                position = i + 1
                yield row.reshape(member.shape[1:])

    def _begin_checks(self) -> dict[str, Future[int]]:
        """Begins to read the arrays, one after the other, in a thread of their own."""
        with contextlib.suppress(RuntimeError):  # no thread can be started: it is done when asked for
            pool = ThreadPoolExecutor(1, thread_name_prefix="tightfit-crc")
            checks = {
                name: pool.submit(member_crc, self._path, member) for name, member in self._members.items()
            }
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
            found = member_crc(self._path, member) if check is None else check.result()
            if found != member.info.CRC:
                raise zipfile.BadZipFile(f"Bad CRC-32 for file '{name}.npy'")
        self._whole.add(name)

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except DAMAGE as error:
            said = str(error).rstrip(".") or type(error).__name__
            raise DataError(f"'{self.name}' is damaged: {said}. Write it again with numpy.savez.") from error

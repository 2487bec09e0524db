"""Tars of samples as blocks (WebDataset's layout): members of one sample share the name before the first dot.

A tar is indexed by its headers; samples are then read at their offsets, in any order. ``.jpg``, ``.png``
and other images are the column ``x``, ``.cls`` the label, ``.npy`` arrays, ``.json`` numbers, ``.txt`` text;
other columns have the rest of the name. ``.pyd``, ``.pickle`` and what else needs code is refused.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tightfit.data.images.image_decoding import SUFFIXES
from tightfit.data.npz_members import DAMAGE
from tightfit.data.tables.row_source import Row, content_fingerprint
from tightfit.errors import DataError, first_line, printable

SUFFIX = ".tar"
_BRACES: Final = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_FILES: Final = 1_000_000

Member = tuple[str, int, int]
"""Column, offset and size."""


class TarBlocks:
    """Tars of samples; each tar is a block.

    Args:
        name: of the data.
        files: in the order of their samples.

    Raises:
        DataError: a file is no tar, or has no samples.
    """

    kind = "tars"

    def __init__(self, name: str, files: Sequence[Path]) -> None:
        self.name, self.files = name, list(files)
        self._samples = [_index(path) for path in self.files]
        self.counts = [len(samples) for samples in self._samples]
        first = next((s for samples in self._samples for s in samples), ())
        self.columns = tuple(column_of(suffix) for suffix, _, _ in first)

    def read(self, block: int, columns: Sequence[str], within: Sequence[int] | None) -> Iterator[Row]:
        """Yield samples of a tar."""
        samples, path = self._samples[block], self.files[block]
        with path.open("rb") as file:
            for place in range(len(samples)) if within is None else within:
                row = {}
                for suffix, offset, size in samples[place]:
                    if column_of(suffix) in columns:
                        file.seek(offset)
                        content = file.read(size)
                        if len(content) < size:
                            raise DataError(f"'{path.name}' was cut while it was read. Copy it again.")
                        row[column_of(suffix)] = _value(suffix, content, f"{path.name}:{place}")
                missing = [c for c in columns if c not in row]
                if missing:
                    raise DataError(f"Sample {place} of '{path.name}' has no '{missing[0]}'. Add the file.")
                yield row

    def fingerprint(self) -> str:
        """SHA-256 over the names and contents of the files."""
        return content_fingerprint(self.files)


def tar_files(spec: str) -> list[Path]:
    """Return the files of a name with a range, such as ``train-{000..099}.tar``; one file without.

    Example:
        >>> [path.name for path in tar_files("a-{08..10}.tar")]
        ['a-08.tar', 'a-09.tar', 'a-10.tar']
    """
    found = _BRACES.search(spec)
    if found is None:
        return [Path(spec)]
    first, last = found.groups()
    if int(last) - int(first) >= _MOST_FILES:
        raise DataError(f"'{spec}' names more than {_MOST_FILES:,} files. Name a shorter range.")
    numbers = (str(n).zfill(len(first)) for n in range(int(first), int(last) + 1))
    return [Path(spec[: found.start()] + number + spec[found.end() :]) for number in numbers]


def column_of(suffix: str) -> str:
    """Return the column of a member: ``x`` for images and the only array, the label for ``cls``.

    Example:
        >>> column_of("jpg"), column_of("cls"), column_of("mask.npy")
        ('x', 'cls', 'mask')
    """
    stem, _, kind = suffix.rpartition(".")
    return stem or ("x" if f".{kind}" in SUFFIXES or kind == "npy" else kind)


def _index(path: Path) -> list[tuple[Member, ...]]:
    """The members of each sample of a tar."""
    try:
        with tarfile.open(path, "r:", tarinfo=_Header) as archive:
            members = [
                (m.name, m.offset_data, m.size)
                for m in archive
                if _is_plain(m) and not Path(m.name).name.startswith(".")
            ]
    except (OSError, tarfile.TarError, ValueError, OverflowError) as error:
        raise DataError(
            f"'{path.name}' is no tar of samples: {error}. Tars must not be compressed."
        ) from error
    split = [(*_split(name), offset, size) for name, offset, size in members]
    groups = itertools.groupby(split, key=lambda m: m[0])
    return [tuple((suffix, offset, size) for _, suffix, offset, size in group) for _, group in groups]


class _Header(tarfile.TarInfo):
    """A header whose size is no negative number: such a one leads back to members that were read."""

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.ReadError("a member has a negative size")
        return int(super()._block(count))  # type: ignore[misc] # left out of typeshed


def _is_plain(member: tarfile.TarInfo) -> bool:
    """True for a file whose bytes lie in the tar one after the other; False for links, folders and the like.

    Raises:
        ReadError: a file is stored with gaps, so its bytes are not those that follow the header.
    """
    if member.issparse():
        raise tarfile.ReadError(f"the member {printable(member.name, 60)} is stored with gaps")
    return member.isreg()


def _split(name: str) -> tuple[str, str]:
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return f"{folder}{slash}{stem}", suffix.lower()


def _number(content: bytes) -> Any:
    text = content.decode().strip()
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


_READERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "npy": lambda content: np.load(io.BytesIO(content), allow_pickle=False),
    "cls": _number,
    "json": json.loads,
    "txt": lambda content: content.decode(),
}
"""Kind of member → its value; images stay encoded."""


def _value(suffix: str, content: bytes, where: str) -> Any:
    kind = suffix.rpartition(".")[2]
    if f".{kind}" in SUFFIXES:
        return content
    reader = _READERS.get(kind)
    if reader is None:
        known = ", ".join(f".{k}" for k in _READERS)
        raise DataError(f"'{where}' has a .{kind} member. Expected an image or {known}.")
    try:
        return reader(content)
    except DAMAGE as error:  # a RecursionError of JSON is one of these
        raise DataError(
            f"'{where}' has a .{kind} member that cannot be read: {first_line(error).rstrip('.')}."
        ) from error

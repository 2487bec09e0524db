"""Rows in blocks as a source of samples: only the blocks that a pass asks for are read.

A row has a value for each column. A column is a model input (by its name; ``x``, or the only one that is no
label, for a model of one input), the label (``y``, ``label``, ``labels``, ``cls``) or the label of an output.
Encoded images, as bytes, become arrays by the image options.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from tightfit.data.dataset import scalar_labels
from tightfit.data.images.image_decoding import decode, scale
from tightfit.data.images.image_options import ImageOptions, missing_options
from tightfit.data.sample import DataRecord, InputSpec
from tightfit.errors import DataError, unknown_name
from tightfit.types import Array

LABELS: Final = ("y", "label", "labels", "cls")
"""Names of the column with the label."""

Row = Mapping[str, Any]


class RowBlocks(Protocol):
    """A kind of blocks."""

    @property
    def kind(self) -> str:
        """What reports call it."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def counts(self) -> Sequence[int]:
        """Rows of each block, known without reading rows."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns of the first row."""

    def read(self, block: int, columns: Sequence[str], within: Sequence[int] | None) -> Iterator[Row]:
        """Yield rows of a block: those at positions within it, or all."""

    def fingerprint(self) -> str:
        """SHA-256 of the content."""


def content_fingerprint(files: Sequence[Path]) -> str:
    """Return the SHA-256 over the names and contents of files, in their order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{path.name}\0{content}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


class RowSource:
    """Rows of blocks, as a source of records.

    Args:
        blocks: where the rows lie.
        inputs: the model's inputs.
        outputs: names of the model's outputs, which labels may have.
        image: how encoded images become arrays.

    Raises:
        DataError: there is no row, or the columns do not fit the model.
    """

    notes: Sequence[str] = ()
    decodes = True

    def __init__(
        self,
        blocks: RowBlocks,
        inputs: Sequence[InputSpec],
        outputs: Sequence[str] = (),
        image: ImageOptions | None = None,
    ) -> None:
        self.blocks, self.kind, self.name = blocks, blocks.kind, blocks.name
        self._ends = list(itertools.accumulate(blocks.counts))
        if not self._ends or not self._ends[-1]:
            raise DataError(f"'{self.name}' has no rows. Pass data with at least one.")
        self._specs = {spec.name: spec for spec in inputs}
        self._image = None if image is None else image.for_input(next(iter(inputs)))
        self._fed = self._input_columns(blocks.columns, outputs)
        left = [c for c in blocks.columns if c not in self._fed]
        self._label = next((c for c in LABELS if c in left), None)
        self._named = [c for c in left if c in outputs]
        self._numbers: dict[str, Array] | None = None

    @property
    def has_labels(self) -> bool:
        """True when there is a column of labels."""
        return self._label is not None or bool(self._named)

    def named_labels(self) -> dict[str, Array]:
        """The labels of outputs that are one number each."""
        return {name: v for name, v in self._label_numbers().items() if name in self._named}

    def count(self) -> int:
        """The number of rows."""
        return self._ends[-1]

    def labels(self) -> Array | None:
        """The labels, when each is one number; only their column is read."""
        return None if self._label is None else self._label_numbers().get(self._label)

    def fingerprint(self) -> str:
        """SHA-256 over the blocks' own fingerprint and the labels."""
        digest = hashlib.sha256(self.blocks.fingerprint().encode())
        for name, values in sorted(self._label_numbers().items()):
            digest.update(f"\0{name}\0{values.dtype.str}\0".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def read(self, indices: Sequence[int] | None) -> Iterator[DataRecord]:
        """Yield the rows at ascending indices, or all; each block that has one is read once."""
        for block, first, within in self._wanted(indices):
            places = range(self._size(block)) if within is None else within
            rows = self.blocks.read(block, self._columns(), within)
            for place, row in zip(places, rows, strict=True):
                yield self._record(first + place, row)

    def _wanted(self, indices: Sequence[int] | None) -> Iterator[tuple[int, int, list[int] | None]]:
        """Yield block, number of its first row, and positions within it."""
        if indices is None:
            yield from ((b, self._first(b), None) for b in range(len(self._ends)) if self._size(b))
            return
        for block, chosen in itertools.groupby(indices, lambda i: bisect.bisect_right(self._ends, i)):
            first = self._first(block)
            yield block, first, [i - first for i in chosen]

    def _first(self, block: int) -> int:
        return self._ends[block - 1] if block else 0

    def _size(self, block: int) -> int:
        return self.blocks.counts[block]

    def _columns(self) -> list[str]:
        own = [] if self._label is None else [self._label]
        return [*self._fed, *own, *self._named]

    def _record(self, number: int, row: Row) -> DataRecord:
        where = f"Row {number} of '{self.name}'"
        inputs = {name: self._array(row[column], where) for column, name in self._fed.items()}
        label = None if self._label is None else _value(row[self._label])
        named = {name: _value(row[name]) for name in self._named}
        return DataRecord(number, where, inputs, label, named)

    def _array(self, value: Any, where: str) -> Array:
        encoded = value.get("bytes") if isinstance(value, Mapping) else value
        if isinstance(encoded, bytes):
            if self._image is None:
                raise missing_options(where, next(iter(self._specs.values())))
            return scale(decode(encoded, self._image, where), self._image)
        return _dense(encoded, where)

    def _input_columns(self, columns: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
        """Column → name of the input."""
        fed = {c: c for c in columns if c in self._specs}
        if not fed and len(self._specs) == 1:
            others = [c for c in columns if c not in (*LABELS, *outputs)]
            chosen = "x" if "x" in columns else others[0] if len(others) == 1 else None
            chosen = next((c for c in ("image", "img") if c in others), None) if chosen is None else chosen
            fed = {} if chosen is None else {chosen: next(iter(self._specs))}
        missing = [name for name in self._specs if name not in fed.values()]
        if missing:
            raise DataError(
                f"'{self.name}' has the columns {', '.join(columns)}: "
                f"{unknown_name('column', missing[0], columns)} Name a column as each input of the model."
            )
        return fed

    def _label_numbers(self) -> dict[str, Array]:
        """Column → numbers, of the labels that are one number a row; read once."""
        if self._numbers is None:
            names = [c for c in (self._label, *self._named) if c is not None]
            values: dict[str, list[Any]] = {name: [] for name in names}
            for block in range(len(self._ends)) if names else ():
                for row in self.blocks.read(block, names, None):
                    for name in names:
                        values[name].append(_value(row[name]))
            self._numbers = {
                n: scalar_labels(v) for n, v in values.items() if all(isinstance(x, int | float) for x in v)
            }
        return self._numbers


def _value(value: Any) -> Any:
    """A label as a plain number where it is one."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return np.array(value.tolist())
    array = None if value is None or isinstance(value, str | bytes | Mapping) else np.asarray(value)
    return array.item() if array is not None and array.size == 1 and array.dtype.kind in "iubf" else value


def _dense(value: Any, where: str) -> Array:
    """An array of numbers; a nested list of a table becomes one."""
    array = np.asarray(value)
    if array.dtype.kind == "O":
        try:
            array = np.array([_dense(part, where) for part in array])
        except (ValueError, TypeError) as error:
            raise DataError(f"{where} is no array of numbers: {error}.") from error
    if array.dtype.kind not in "iubf":
        raise DataError(f"{where} has a value of type {array.dtype}. Expected numbers or an encoded image.")
    return np.array(array)

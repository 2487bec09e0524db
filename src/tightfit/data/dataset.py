"""Labelled or unlabelled samples that are read as they are asked for.

``DataSource`` is what a kind of data has to offer; ``Dataset`` checks its records against the model's inputs.
Memory does not grow with the number of samples: only scalar labels, file names and offsets are held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tightfit.data.divided_inputs import divide, whole_inputs
from tightfit.data.sample import WEIGHT, DataRecord, InputSpec, Sample
from tightfit.data.validation import check_record
from tightfit.errors import DataError
from tightfit.types import Array


class DataSource(Protocol):
    """A kind of data: ``ImageFiles``, ``NpzArrays``, ``JsonArrays``, ``FunctionData``."""

    kind: str
    name: str

    @property
    def decodes(self) -> bool:
        """True where the image options have something to prepare."""

    @property
    def has_labels(self) -> bool:
        """True when every record has a label, without a name or with one."""

    @property
    def notes(self) -> Sequence[str]:
        """What of the data is not used, and why."""

    def named_labels(self) -> Mapping[str, Array]:
        """The numbers of the labels with names, of those that are one number a record."""

    def count(self) -> int:
        """How many records there are; may read the data once."""

    def labels(self) -> Array | None:
        """One number for each record, or None without labels or when labels are arrays."""

    def read(self, indices: Sequence[int] | None) -> Iterator[DataRecord]:
        """The records at ascending indices, or all of them, in order."""

    def fingerprint(self) -> str:
        """SHA-256 over the content, or over what changes with it, in hexadecimal."""


class Dataset:
    """Samples that fit a model's inputs.

    Attributes:
        source: where they come from.
        inputs: what the model takes; pieces of one input are made from the
            whole.
    """

    def __init__(self, source: DataSource, inputs: Sequence[InputSpec]) -> None:
        self.source = source
        self.inputs = tuple(inputs)
        self._wholes = whole_inputs(self.inputs)

    def __len__(self) -> int:
        """The number of samples; a function's iterable is read once to count them."""
        return self.source.count()

    @property
    def has_labels(self) -> bool:
        """True when every sample has a label."""
        return self.source.has_labels

    def samples(self, indices: Sequence[int] | Array | None = None) -> Iterator[Sample]:
        """The samples at the indices, each once, in ascending order; all of them without indices.

        Raises:
            DataError: for an index out of range, or a sample that the model does not take.
        """
        wanted = None if indices is None else self._ascending(indices)
        try:
            for record in self.source.read(wanted):
                yield self.checked(record)
        except OSError as error:
            raise DataError(f"'{self.source.name}' cannot be read: {error}.") from error

    def checked(self, record: DataRecord) -> Sample:
        """The record as a sample that the model takes, see ``check_record``."""
        return divide(check_record(record, self._wholes), [s.name for s in self.inputs])

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the data is not used, and why."""
        return tuple(self.source.notes)

    def named_labels(self, indices: Sequence[int] | Array | None = None) -> dict[str, Array]:
        """The numbers of labels with names, of those that are one number a sample, in ascending order."""
        named = self.source.named_labels()
        if indices is None:
            return dict(named)
        wanted = self._ascending(indices)
        return {name: np.asarray(values[wanted]) for name, values in named.items()}

    def classes(self) -> Array | None:
        """One number for each sample to divide the samples by: the label, else the first named class."""
        plain = self.source.labels()
        if plain is not None:
            return plain
        named = self.source.named_labels()
        return next((v for name, v in named.items() if v.dtype.kind == "i" and name != WEIGHT), None)

    def labels(self, indices: Sequence[int] | Array | None = None) -> Array | None:
        """One number for each sample, in ascending order of the indices, without reading inputs.

        Returns:
            int64 for classes, float64 for real numbers; None without labels or when labels are arrays.
        """
        labels = self.source.labels()
        if labels is None or indices is None:
            return labels
        return np.asarray(labels[self._ascending(indices)])

    def fingerprint(self) -> str:
        """SHA-256 of the data in hexadecimal: equal for equal data wherever it lies."""
        return self.source.fingerprint()

    def describe(self) -> dict[str, Any]:
        """Facts for a report: kind, name without its folder, count, labels, number of classes or None."""
        labels = self.classes() if self.has_labels else None
        classes = len(np.unique(labels)) if labels is not None and labels.dtype.kind == "i" else None
        return {
            "kind": self.source.kind,
            "name": self.source.name,
            "count": len(self),
            "has_labels": self.has_labels,
            "classes": classes,
        }

    def _ascending(self, indices: Sequence[int] | Array) -> list[int]:
        wanted = np.unique(np.asarray(indices, dtype=np.int64))
        if wanted.size and (wanted[0] < 0 or wanted[-1] >= len(self)):
            bad = int(wanted[0] if wanted[0] < 0 else wanted[-1])
            raise DataError(
                f"Sample {bad} was asked for, but '{self.source.name}' has {len(self)} samples (from 0)."
            )
        return [int(i) for i in wanted]


def scalar_labels(values: Sequence[Any]) -> Array:
    """Labels as int64 when all are whole numbers of an integer type, else float64.

    Raises:
        DataError: when they are not numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iubf":
        raise DataError(f"A label is '{values[0]}'. Expected numbers: class indices from 0, or real numbers.")
    return array.astype(np.int64 if array.dtype.kind in "iub" else np.float64)

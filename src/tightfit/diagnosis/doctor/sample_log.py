"""Notes a few numbers about each sample on its way to the model, so that looking costs no extra reading."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.data.sample import Sample
from tightfit.diagnosis.doctor.evidence import Evidence, SampleFacts
from tightfit.diagnosis.doctor.facts_table import FactsTable
from tightfit.errors import DataError
from tightfit.streaming.columns import ColumnSums
from tightfit.types import Array

MOST_COLUMNS = 64
"""Columns of an input whose spreads are noted; more of them are a vector of one unit."""


class SampleLog:
    """What was seen of the samples that went by: some numbers each, never their arrays.

    Attributes:
        samples: in the order that they came.
        bad: names of those with NaN or infinity, which were left out.

    Example:
        >>> log = SampleLog()
        >>> for sample in log.watch([Sample({"x": np.zeros((1, 4), np.float32)}, 3)]): pass
        >>> log.samples[0].label, log.samples[0].is_blank
        (3, True)
    """

    def __init__(self) -> None:
        self.samples = FactsTable()
        self.bad: list[str] = []
        self.finite = 0
        self.columns: dict[str, ColumnSums] = {}

    def watch(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Passes samples on and notes each."""
        for sample in samples:
            self.samples.append(_facts(sample))
            for name, values in sample.inputs.items():
                if values.dtype == np.float32 and values.ndim > 1 and 1 < values.shape[-1] <= MOST_COLUMNS:
                    self.columns.setdefault(name, ColumnSums()).add(values)
            yield sample

    def read(self, dataset: Dataset, indices: Sequence[int] | Array | None = None) -> Iterator[Sample]:
        """The samples at the indices, ascending; those with NaN or infinity are noted and left out.

        Raises:
            DataError: another fault of a sample, or the data cannot be read.
        """
        wanted = None if indices is None else [int(i) for i in np.unique(np.asarray(indices, np.int64))]
        return self.watch(self._finite(dataset, wanted))

    def _finite(self, dataset: Dataset, wanted: list[int] | None) -> Iterator[Sample]:
        try:
            for record in dataset.source.read(wanted):
                if all(_is_finite(np.asarray(values)) for values in record.inputs.values()):
                    yield dataset.checked(record)
                else:
                    self.bad.append(record.name)
        except OSError as error:
            raise DataError(f"'{dataset.source.name}' cannot be read: {error}.") from error

    def look_over(self, dataset: Dataset, indices: Sequence[int] | Array) -> None:
        """Note which of the other samples have NaN or infinity, where reading arrays is cheap.

        Args:
            dataset: arrays are read; other kinds of data are left alone.
            indices: the samples that were not read for another reason.
        """
        wanted = [int(i) for i in np.unique(np.asarray(indices, np.int64))]
        if dataset.source.kind == "arrays" and wanted:
            known = set(self.bad)
            records = dataset.source.read(wanted)
            names = [r.name for r in records if not all(map(_is_finite, map(np.asarray, r.inputs.values())))]
            self.bad += [name for name in names if name not in known]
            self.finite += len(wanted) - len(names)

    def evidence(self) -> Evidence:
        """What can be judged without running a model."""
        columns = {name: sums.columns() for name, sums in self.columns.items()}
        return Evidence(samples=self.samples, bad=list(self.bad), finite=self.finite, columns=columns)


def _is_finite(values: Array) -> bool:
    return values.dtype.kind not in "fc" or bool(np.isfinite(values).all())


def _facts(sample: Sample) -> SampleFacts:
    label = sample.label if isinstance(sample.label, int) else None
    low, high = _extremes(sample.inputs)
    return SampleFacts(sample.index, sample.name, low, high, digest(sample.inputs), label)


def _extremes(inputs: Mapping[str, Array]) -> tuple[float, float]:
    """Lowest and highest value of the inputs that have several; a lone number is no constant picture."""
    arrays = [a for a in inputs.values() if a.size > 1 and a.dtype.kind in "fiu"]
    if not arrays:
        return 0.0, 1.0
    return min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)


def digest(inputs: Mapping[str, Array]) -> int:
    """64 bits of a hash over the names and values of a sample's inputs.

    Example:
        >>> digest({"x": np.zeros(3)}) == digest({"x": np.zeros(3)})
        True
    """
    state = hashlib.sha256()  # processors have instructions for it: half the time of BLAKE2
    for name, values in sorted(inputs.items()):
        state.update(name.encode())
        state.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
    return int.from_bytes(state.digest()[:8], "big")

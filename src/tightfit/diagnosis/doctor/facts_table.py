"""The facts of many samples in about 50 bytes a sample, so that memory stays flat over a large data set."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Final, overload

from tightfit.diagnosis.doctor.evidence import SampleFacts

_NUMBER: Final = "\0"


class FactsTable(Sequence[SampleFacts]):
    """``SampleFacts`` in the order in which they were added, each made anew where it is read.

    Names such as "Sample 7 of 'set.npz'" are kept once, without their number.

    Example:
        >>> table = FactsTable()
        >>> table.append(SampleFacts(7, "Sample 7 of 'set.npz'", 0.0, 1.0, 2**63, 3))
        >>> len(table), table[0].name, table[-1].digest == 2**63, table[0].label
        (1, "Sample 7 of 'set.npz'", True, 3)
    """

    def __init__(self) -> None:
        self._indices = array("q")
        self._extremes = array("d")
        self._digests = array("Q")
        self._labels: list[int | None] = []
        self._names: list[str] = []

    def append(self, facts: SampleFacts) -> None:
        """Add the facts of one sample."""
        self._indices.append(facts.index)
        self._extremes.extend((facts.low, facts.high))
        self._digests.append(facts.digest)
        self._labels.append(facts.label)
        self._names.append(sys.intern(facts.name.replace(f" {facts.index} ", _NUMBER, 1)))

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, position: int) -> SampleFacts: ...
    @overload
    def __getitem__(self, position: slice) -> list[SampleFacts]: ...
    def __getitem__(self, position: int | slice) -> SampleFacts | list[SampleFacts]:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        place = range(len(self))[position]
        index = self._indices[place]
        name = self._names[place].replace(_NUMBER, f" {index} ")
        low, high = self._extremes[2 * place : 2 * place + 2]
        return SampleFacts(index, name, low, high, self._digests[place], self._labels[place])

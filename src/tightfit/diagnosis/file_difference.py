"""``FileDifference``: what two files differ in, as plain data and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tightfit.result import Result, Row


@dataclass(frozen=True)
class WeightDifference:
    """A constant of both files that differs: how it is stored in each, and by how much its reals differ.

    Args:
        different: share of the elements, 0–1.
        largest: of the differences, in reals.
    """

    name: str
    first: str
    second: str
    different: float
    largest: float


@dataclass(frozen=True)
class Output:
    """One output over all samples: whether it is equal to the bit, and how far it is off.

    Args:
        largest: of the differences of the reals.
        snr_db: of the second to the first, None when equal.
        decisions: share of samples with the same largest entry, None for a single number.
        worst: the worst slice in words, None where all are equal.
        worst_slice: the same as plain values.
        lost: why the output is of no use beside the first's, or "".
        weak: which slice is between lost and good, or "".
    """

    name: str
    equal: bool
    largest: float
    snr_db: float | None
    decisions: float | None
    worst: str | None = None
    worst_slice: dict[str, Any] | None = None
    lost: str = ""
    weak: str = ""


@dataclass(repr=False)
class FileDifference(Result):
    """Two files side by side; lists hold what differs, at most 20 of a kind, with the counts beside them.

    Args:
        sizes: bytes of both files, on disk and compressed.
        ends: differences of inputs and outputs, as sentences.
        ops: kind of op → count in each file, where they differ.
        tensors: tensors of one name that are stored in different ways, as sentences.
        tensors_different: number of these tensors.
        weights: constants of one name with other real values, the largest difference first.
        weights_equal: number of constants with equal real values.
        weights_different: number of constants with other real values.
        only_first: number of constants that only the first file has.
        only_second: number of constants that only the second file has.
        outputs: difference of each output on the samples.
        samples: number of samples that both files ran on.
        unanswered: why the files were not run; empty where they were.
        path: the second file.
    """

    sizes: dict[str, tuple[int, int]]
    ends: list[str] = field(default_factory=list)
    ops: dict[str, tuple[int, int]] = field(default_factory=dict)
    tensors: list[str] = field(default_factory=list)
    tensors_different: int = 0
    weights: list[WeightDifference] = field(default_factory=list)
    weights_equal: int = 0
    weights_different: int = 0
    only_first: int = 0
    only_second: int = 0
    outputs: list[Output] = field(default_factory=list)
    samples: int = 0
    unanswered: str = ""
    path: Path = field(default_factory=Path)

    @property
    def notes(self) -> list[str]:
        """Why the answers could not be compared, where that is so."""
        return [self.unanswered] if self.unanswered else []

    def to_dict(self) -> dict[str, object]:
        """Return plain values."""
        return dict(self.as_json())

    def headline(self) -> str:
        """Return whether the files are equal."""
        said = "equal" if self.equal else f"{self.weights_different} weights differ, {self.samples} samples"
        return f"FileDifference({said})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the difference of each output."""
        rows = [(o.name, o.equal, o.largest, o.snr_db) for o in self.outputs]
        return ("output", "equal", "largest", "dB"), rows

    @property
    def equal(self) -> bool:
        """True when ends, ops, storage and weights agree and every answer is equal to the bit."""
        counts = (self.tensors_different, self.weights_different, self.only_first, self.only_second)
        same = not (self.ends or self.ops or self.unanswered or any(counts))
        return same and all(o.equal for o in self.outputs)

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {"equal": self.equal} | asdict(self) | {"path": str(self.path)}

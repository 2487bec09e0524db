"""The quality of an output as plain data, and what is said of it: its lost and weak slices, its worst one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tightfit.units import format_decibels

MOST_DB: Final = 200.0
"""What stands for equal: float32 resolves 150 dB."""


GOOD_DB: Final = 20.0
"""What remedies aim at: noise of a hundredth of the slice's own spread."""


@dataclass(frozen=True)
class SliceQuality:
    """One slice as reports show it.

    Args:
        name: which entries.
        axis: see ``name``.
        begin: see ``name``.
        end: see ``name``.
        snr_db: spread of the float values about their mean ÷ noise.
        distinct: different values in the file, up to 257, or None.
        lost: why it is of no use, or "".
        noise: mean square of the difference from the float values.
        own_unit: it is to be judged by itself. The classes of one decision and the features of one embedding
            are not: metrics judge them together.
    """

    name: str
    axis: int
    begin: int
    end: int
    snr_db: float
    distinct: int | None
    lost: str = ""
    noise: float = 0.0
    own_unit: bool = False

    @property
    def weak(self) -> bool:
        """Whether it is below ``GOOD_DB``, of a unit of its own, and not lost."""
        return self.own_unit and not self.lost and self.snr_db < GOOD_DB

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of ``report.json``."""
        names = ("name", "axis", "begin", "end", "snr_db", "distinct")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class OutputQuality:
    """One output: over all of its values, and its worst slice.

    Args:
        snr_db: power of the float values ÷ noise.
        worst_slice: None where no slice has real values.
        lost: the slices that are of no use, the worst first.
        samples: how many it rests on.
        poor: the slices below ``GOOD_DB``, the worst first.
        own_db: the worst ratio of the slices with a unit of their own.
    """

    name: str
    snr_db: float
    worst_slice: SliceQuality | None
    lost: tuple[SliceQuality, ...] = ()
    samples: int = 0
    poor: tuple[SliceQuality, ...] = ()
    own_db: float = MOST_DB

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of ``report.json``."""
        worst = None if self.worst_slice is None else self.worst_slice.to_dict()
        plain = {"name": self.name, "snr_db": self.snr_db, "worst_slice": worst, "samples": self.samples}
        if self.weak:
            plain["weak"] = weak_sentence(self)
        return plain | ({"lost": lost_sentence(self)} if self.lost else {})

    @property
    def weak(self) -> tuple[SliceQuality, ...]:
        """The slices of a unit of their own that are below ``GOOD_DB`` and not lost, the worst first."""
        return tuple(s for s in self.poor if s.weak)


def worst_output(found: Sequence[OutputQuality]) -> OutputQuality | None:
    """Return the output with the worst slice, None without one."""
    known = [o for o in found if o.worst_slice is not None]
    return min(known, key=_worst_db, default=None)


def lost_sentences(found: Sequence[OutputQuality]) -> Iterator[str]:
    """Give one sentence for each output that is of no use, naming its worst slices."""
    for output in found:
        if output.lost:
            yield lost_sentence(output)


def weak_sentences(found: Sequence[OutputQuality]) -> Iterator[str]:
    """Give one sentence for each output with a slice between lost and good, naming the worst."""
    for output in found:
        if output.weak:
            yield weak_sentence(output)


def unfit_sentences(found: Sequence[OutputQuality]) -> list[str]:
    """Return one sentence for each output with a lost slice, then one for each with a weak one."""
    return [*lost_sentences(found), *weak_sentences(found)]


def headline(found: Sequence[OutputQuality]) -> str:
    """Return the worst slice of all outputs with its ratio, and how many samples say so; "" without one.

    Example:
        >>> worst = SliceQuality("scores", 2, 4, 7, 31.44, 200)
        >>> headline([OutputQuality("out", 48.0, worst, samples=100)])
        "worst slice 'scores' (entries 4–6 of axis 2): 31.4 dB on 100 samples"
    """
    output = worst_output(found)
    if output is None or output.worst_slice is None:
        return ""
    ratio, samples = _db(output.worst_slice.snr_db), _samples(output.samples)
    return f"worst slice {place(output, len(found))}: {ratio} on {samples}"


def place(output: OutputQuality, outputs: int = 1) -> str:
    """Return the worst slice of an output in words."""
    worst = output.worst_slice
    if worst is None:
        return f"'{output.name}'"
    return _place(worst) + (f" of output '{output.name}'" if outputs > 1 else "")


def _place(found: SliceQuality) -> str:
    span = f"{found.begin}" if found.end - found.begin == 1 else f"{found.begin}–{found.end - 1}"
    word = "entry" if found.end - found.begin == 1 else "entries"
    return f"'{found.name}' ({word} {span} of axis {found.axis})"


def _samples(count: int) -> str:
    return f"{count:,} sample{'' if count == 1 else 's'}"


def _db(value: float) -> str:
    return "equal to float" if value >= MOST_DB else format_decibels(value)


def _worst_db(output: OutputQuality) -> float:
    return MOST_DB if output.worst_slice is None else output.worst_slice.snr_db


def lost_sentence(output: OutputQuality) -> str:
    """Return why an output is of no use, naming its worst slice."""
    first = output.lost[0]
    return f"output '{output.name}' is of no use in {_place(first)}: {first.lost}{_more(output.lost)}"


def weak_sentence(output: OutputQuality) -> str:
    """Return which slice of an output is weak, and by how much."""
    first = output.weak[0]
    return (
        f"output '{output.name}' is weak in {_place(first)}: {_db(first.snr_db)} against its own spread, "
        f"below {GOOD_DB:g} dB{_more(output.weak)}"
    )


def _more(slices: Sequence[SliceQuality]) -> str:
    more = len(slices) - 1
    return f" (and {more} more slice{'' if more == 1 else 's'})" if more else ""

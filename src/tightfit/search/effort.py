"""``EFFORTS``: what a search measures at each effort; and the reasons for skipping a candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tightfit.errors import OptionError, unknown_name


@dataclass(frozen=True)
class Effort:
    """A level of effort.

    Args:
        name: the value of ``--effort``.
        rank: position among the efforts, 0 for the least.
        latency_seconds: longest measurement of the latency of one file, in seconds; a quarter of it makes the
            interval twice as wide.
        latency_precision: relative width of a ratio's interval at which the measurement stops; 0 uses the
            whole time.
        stops_early: skip measurements of candidates that can no longer be chosen, and measure the error of
            layers for the chosen file only.
        shrinks: try smaller models where a limit is not met.
        exhaustive: try recoveries and smaller models although a candidate meets the budget.
    """

    name: str
    rank: int
    latency_seconds: float
    latency_precision: float = 0.0
    stops_early: bool = False
    shrinks: bool = True
    exhaustive: bool = False

    def pays_for(self, least: str) -> bool:
        """Return whether this effort is at least another one, given by name.

        Example:
            >>> EFFORTS["normal"].pays_for("quick"), EFFORTS["quick"].pays_for("normal")
            (True, False)
        """
        return self.rank >= EFFORTS[least].rank


EFFORTS: Final[dict[str, Effort]] = {
    e.name: e
    for e in (
        Effort("quick", 0, 1.0, latency_precision=0.05, stops_early=True, shrinks=False),
        Effort("normal", 1, 4.0),
        Effort("thorough", 2, 4.0, exhaustive=True),
    )
}


def find_effort(name: str) -> Effort:
    """Return the effort with a name.

    Raises:
        OptionError: the name is unknown; the message gives the closest one.
    """
    if name not in EFFORTS:
        raise OptionError(unknown_name("effort", name, EFFORTS))
    return EFFORTS[name]


@dataclass(frozen=True)
class Skip:
    """The reason why a candidate is not tried.

    Args:
        reason: a sentence for the report.
        is_noted: False where only the page has it, because nobody expects the candidate.
    """

    reason: str
    is_noted: bool = True

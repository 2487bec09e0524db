"""How much time a search may take for what, and why it leaves a candidate out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tightfit.errors import OptionError, unknown_name


@dataclass(frozen=True)
class Effort:
    """What a level of effort pays for.

    Args:
        name: what ``--effort`` takes.
        rank: 0 for the least effort.
        latency_seconds: the most time for the latency of one file, in s; a quarter of it makes the interval
            twice as wide.
        latency_precision: the width of a ratio's interval that is enough, as a fraction of it; 0 takes the
            whole time.
        stops_early: whether what cannot be chosen any more is not measured, and the error per layer is of
            the chosen file only.
        shrinks: whether smaller models are tried where a limit asks for them.
        exhaustive: whether recoveries and smaller models are tried although something meets the budget.
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
    """Return the effort of a name.

    Raises:
        OptionError: there is none; the closest match is named.
    """
    if name not in EFFORTS:
        raise OptionError(unknown_name("effort", name, EFFORTS))
    return EFFORTS[name]


@dataclass(frozen=True)
class Skip:
    """Why a candidate is not tried.

    Args:
        reason: a sentence for the report; empty where the user asked for nothing that it serves.
    """

    reason: str = ""

"""The section on latency: how the time of a call is distributed for the original and every candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.search.candidates.candidate import Candidate
from tightfit.units import format_milliseconds

SHOWN: Final = ("5", "25", "50", "75", "90", "95", "99")
"""Percentiles that are columns."""
_TAIL: Final = 2.0
"""Longest bar, in 75th percentiles: one call that waited does not press all others into a dot."""
_ENDS: Final = ("5", "25", "50", "75", "95")


@dataclass(frozen=True)
class LatencySpread:
    """The times of one candidate.

    Args:
        name: of the candidate.
        is_chosen: whether it is the file that ships.
        cells: the percentiles ``SHOWN`` in words.
        ends: the 5th, 25th, 50th, 75th and 95th percentile as shares of the longest bar, at most 1.
    """

    name: str
    is_chosen: bool
    cells: list[str]
    ends: tuple[float, ...]


def spreads_of(report: Report) -> list[LatencySpread]:
    """Return the spread of each candidate that was timed: the chosen one, the original, then the fastest."""
    timed = [c for c in report.candidates if all(_is_time(c.latency_percentiles.get(k)) for k in SHOWN)]
    timed.sort(key=lambda c: (c.name != report.best, not c.is_original, c.latency_percentiles["50"]))
    longest = max((c.latency_percentiles["95"] for c in timed), default=0.0) or 1.0
    middle = max((c.latency_percentiles["75"] for c in timed), default=0.0)
    longest = min(longest, _TAIL * middle) if middle else longest
    return [_spread(c, longest, is_chosen=c.name == report.best) for c in timed]


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and value >= 0


def _spread(candidate: Candidate, longest: float, *, is_chosen: bool) -> LatencySpread:
    times = candidate.latency_percentiles
    ends = tuple(min(1.0, times[key] / longest) for key in _ENDS)
    return LatencySpread(
        printable(candidate.name, 60), is_chosen, [format_milliseconds(times[k]) for k in SHOWN], ends
    )

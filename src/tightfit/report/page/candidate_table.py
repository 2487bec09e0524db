"""The table of all candidates: columns, rows, and the sort key of each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.report.sentences import gain_notes
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.metric_words import metric_words
from tightfit.units import MISSING, format_bytes, format_milliseconds, format_percent, format_ratio

_VERDICTS: Final = {
    "fits": "fits",
    "misses": "does not fit",
    "open": "left out",
    "failed": "failed",
}


@dataclass
class Cell:
    """A table cell.

    Args:
        text: the text.
        sort: the number to sort by; None sorts last.
        second: a second line; empty for none.
    """

    text: str
    sort: float | None = None
    second: str = ""

    @property
    def small(self) -> str:
        """The second line, when it is not empty."""
        return "" if self.second == MISSING else self.second


@dataclass
class Row:
    """A table row.

    Args:
        name: name of the candidate.
        kind: kind of the mark in the chart.
        verdict: a key of ``_VERDICTS``.
        words: the verdict in words.
        notes: why it does not fit, and where it gains nothing.
        cells: the cells, one for each column.
    """

    name: str
    kind: str
    verdict: str
    words: str
    notes: list[str]
    cells: list[Cell] = field(default_factory=list)


def make_columns(noun: str, devices: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return (title, meaning) of each column; one for each device."""
    boards = [(printable(name, 20), f"The latency on {printable(name, 20)}") for name in devices]
    return [
        ("Candidate", "Name, whether it fits the budget, and why not"),
        ("Size", "File size, and its ratio to the original's"),
        ("Zipped", "Size as a zip archive"),
        ("Latency", "Latency relative to the original, and the median time of a call"),
        (noun[:1].upper() + noun[1:], f"The {noun} on the evaluation samples"),
        ("Change", "Change against the original, and its 95 % interval"),
        ("Agreement", "Fraction of samples with the original's decision"),
        ("Memory", "Peak memory of the process that ran it"),
        *boards,
    ]


def make_rows(report: Report) -> list[Row]:
    """Return one row for each candidate: the chosen one, those that fit, the others, failures."""
    return [_row(c, report) for c in sorted(report.candidates, key=lambda c: _rank(c, report))]


def _rank(candidate: Candidate, report: Report) -> tuple[bool, bool, bool, float]:
    """The sort key: the chosen one first, those that fit, the others, failures; small files first."""
    return (
        candidate.name != report.best,
        not candidate.meets_budget,
        candidate.failure is not None,
        candidate.size_bytes or float("inf"),
    )


def _row(candidate: Candidate, report: Report) -> Row:
    known = {True: "fits", False: "misses", None: "open"}
    fits = "failed" if candidate.failure is not None else known[candidate.meets_budget]
    reasons = [] if candidate.meets_budget else candidate.reasons
    notes = [printable(note) for note in [*reasons, *gain_notes(candidate, report.original)]]
    kind = (
        "chosen" if candidate.name == report.best else "front" if candidate.name in report.pareto else "other"
    )
    return Row(
        printable(candidate.name, 60),
        kind,
        fits,
        _VERDICTS[fits],
        notes,
        [*_cells(candidate, report.original), *_device_cells(candidate, report)],
    )


def _device_cells(candidate: Candidate, report: Report) -> list[Cell]:
    """The latency on each device, with a mark where the candidate is the choice for it."""
    cells = []
    for name, facts in report.devices.items():
        there = candidate.devices.get(name, {})
        ratio = there.get("latency_ratio")
        mark = " ←" if facts.get("best") == candidate.name else ""
        cells.append(Cell(format_ratio(ratio) + mark, ratio, format_milliseconds(there.get("latency_ms"))))
    return cells


def _cells(candidate: Candidate, original: Candidate | None) -> list[Cell]:
    """The cells: size, compressed size, latency, score, change, agreement, memory."""
    words = metric_words(candidate.metric)
    share = (
        candidate.size_bytes / original.size_bytes
        if candidate.size_bytes and original is not None and original.size_bytes
        else None
    )
    packed = candidate.compressed_bytes.get("zip")
    compared = not candidate.is_original
    change = words.change(candidate.drop) if compared else ""
    interval = words.change_interval(candidate.drop_interval) if compared and candidate.drop_interval else ""
    return [
        Cell(format_bytes(candidate.size_bytes), candidate.size_bytes, format_ratio(share)),
        Cell(format_bytes(packed), packed),
        Cell(
            format_ratio(candidate.latency_ratio),
            candidate.latency_ratio,
            format_milliseconds(candidate.latency_ms),
        ),
        Cell(words.score(candidate.accuracy), candidate.accuracy),
        Cell(change, None if candidate.drop is None else -candidate.drop, interval),
        Cell(format_percent(candidate.agreement), candidate.agreement),
        Cell(format_bytes(candidate.peak_memory_bytes), candidate.peak_memory_bytes),
    ]

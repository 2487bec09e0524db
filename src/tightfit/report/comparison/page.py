"""Several runs side by side as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tightfit.files import atomic_file
from tightfit.report.chart.chart import Chart, make_chart
from tightfit.report.comparison.compare_runs import RUN_TITLES, Comparison, run_row
from tightfit.report.page.explanation_page import Table
from tightfit.report.page.html import environment
from tightfit.report.page.page_view import NARROW, WIDE, Tip, tooltip
from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.search.verdict.choice import pareto

_CANDIDATES: Final = 60


def write_comparison(found: Comparison, reports: Mapping[str, Report], path: Path) -> None:
    """Write the page whole or not at all.

    Raises:
        ModelError: the folder is read-only or the disk is full.
    """
    page = render_comparison(found, reports).encode("utf-8", errors="replace")
    with atomic_file(path) as file:
        file.write(page)


def render_comparison(found: Comparison, reports: Mapping[str, Report]) -> str:
    """Return the page; all text from models, file names and data is escaped."""
    merged = _merged(found, reports)
    both = [(size, make_chart(merged, *box)) for size, box in (("wide", WIDE), ("narrow", NARROW))]
    charts: list[tuple[str, Chart]] = [(size, chart) for size, chart in both if chart is not None]
    tips: list[Tip] = [(printable(c.name, 60), tooltip(c)) for c in merged.candidates]
    view: dict[str, Any] = {
        "title": ", ".join(printable(name, 40) for name in reports),
        "headline": _headline(found),
        "notes": [printable(note) for note in found.notes],
        "charts": charts,
        "tips": tips,
        "tables": [table for table in _tables(found, list(reports)) if table.rows],
    }
    page: str = environment().get_template("comparison.html").render(view=view)
    return page


def _headline(found: Comparison) -> str:
    """The best run in a sentence."""
    best = next((run for run in found.runs if run.name == found.best), None)
    if best is None:
        return "No run meets its budget."
    return f"{printable(best.name, 60)} is the smallest that fits: {printable(best.chosen or '', 60)}."


def _tables(found: Comparison, names: list[str]) -> list[Table]:
    shown = [printable(name, 40) for name in names]
    runs = [[printable(c, 80) for c in run_row(r, best=r.name == found.best)] for r in found.runs]
    runs = [[f"{row[1]} {row[0]}".strip(), *row[2:]] for row in runs]
    rows = [[printable(k, 60), *(printable(v, 80) for v in vs)] for k, vs in found.candidates.items()]
    asked = [[printable(k, 60), *(printable(v, 120) for v in vs)] for k, vs in found.differences.items()]
    size = "Size, latency as a ratio to the original there, and change of each candidate."
    return [
        Table("The runs", "The file that each chose; → marks the best.", RUN_TITLES[1:], runs),
        Table("Every candidate", size, ("candidate", *shown), rows[:_CANDIDATES]),
        Table("What differs", "Only what is not the same in all runs.", ("", *shown), asked),
    ]


def _merged(found: Comparison, reports: Mapping[str, Report]) -> Report:
    """The Pareto front of each run in one report, which the chart draws; empty where metrics differ."""
    first = next(iter(reports.values()))
    metrics = {r.candidates[0].metric for r in reports.values() if r.candidates}
    shown = [
        (name, report, c)
        for name, report in reports.items()
        for c in report.candidates
        if len(metrics) == 1 and (c.name in report.pareto or c.name == report.best)
    ]
    named = {f"{name}: {c.name}": (name, report, c) for name, report, c in shown}
    candidates = [replace(c, name=title) for title, (_, _, c) in named.items()]
    best = next((t for t, (n, r, c) in named.items() if n == found.best and c.name == r.best), None)
    return replace(first, candidates=candidates, best=best, pareto=pareto(candidates), devices={})

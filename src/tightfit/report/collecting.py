"""Turns what a search found into a ``Report`` and writes it for machines and for people."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from tightfit import __version__
from tightfit.evaluation.machine import machine
from tightfit.report.html import write_html
from tightfit.report.report import Report
from tightfit.search.job import Outcome


def report_of(outcome: Outcome) -> Report:
    """Gives the report of a search, finished or not."""
    job = outcome.job
    return Report(
        model=_model(outcome),
        data=outcome.data,
        machine={**machine(), "threads": job.threads},
        budget=job.budget,
        candidates=outcome.candidates,
        best=outcome.best,
        pareto=outcome.pareto,
        notes=outcome.notes,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        seconds=outcome.seconds,
        finished=outcome.finished,
        version=__version__,
        ending=outcome.ending,
    )


def write_report(report: Report, folder: Path) -> None:
    """Writes ``report.json`` and ``report.html`` into a folder, each whole or not at all.

    Raises:
        ModelError: the folder is read-only or the disk is full.
    """
    report.write(folder / "report.json")
    write_html(report, folder / "report.html")


def _model(outcome: Outcome) -> dict[str, Any]:
    original = next((c for c in outcome.candidates if c.is_original), None)
    facts: dict[str, Any] = {"name": outcome.job.model.name, **outcome.model}
    if original is not None:
        facts["size_bytes"] = original.size_bytes
        facts["sha256"] = original.sha256
    return facts

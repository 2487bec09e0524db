"""Turns what a search found into a ``Report`` and writes it for machines and for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tightfit import __version__
from tightfit.conversion.load_model import route_of
from tightfit.evaluation.machine import machine
from tightfit.files import atomic_file
from tightfit.report.page.html import write_html
from tightfit.report.report import Report
from tightfit.search.job import Outcome
from tightfit.search.run_file import NAME, to_toml


def report_of(outcome: Outcome, run: Mapping[str, object] | None = None) -> Report:
    """Return the report of a search, finished or not.

    Args:
        outcome: what was found.
        run: what was asked for, see ``search.run_file``.
    """
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
        run=dict(run or {}),
        devices=outcome.devices,
        not_tried=outcome.not_tried,
    )


def write_report(report: Report, folder: Path) -> None:
    """Writes ``report.json``, ``report.html`` and ``tightfit.toml`` into a folder, each whole or not at all.

    Raises:
        ModelError: the folder is read-only or the disk is full.
    """
    report.write(folder / "report.json")
    write_html(report, folder / "report.html")
    if report.run:
        with atomic_file(folder / NAME) as file:
            file.write(to_toml(report.run, folder).encode())


def _model(outcome: Outcome) -> dict[str, Any]:
    original = next((c for c in outcome.candidates if c.is_original), None)
    facts: dict[str, Any] = {"name": outcome.job.model.name, **outcome.model}
    converted = route_of(outcome.job.model)
    if converted is not None:
        facts["name"], facts["route"] = Path(converted[0]).name, converted[1]
    if original is not None:
        facts["size_bytes"] = original.size_bytes
        facts["sha256"] = original.sha256
    return facts

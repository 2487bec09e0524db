"""Tries every scheme, measures, chooses: the main verb."""

from __future__ import annotations

from dataclasses import replace

from tightfit.convert.conversion import open_model
from tightfit.report.collecting import report_of, write_report
from tightfit.report.report import Report
from tightfit.search.checks import check_job
from tightfit.search.job import Job, Listener, Outcome
from tightfit.search.run import optimize as search


class Quiet:
    """A listener that hears nothing."""

    def stage(self, name: str, total: int) -> None:
        """Ignores a stage."""

    def advance(self, done: int, total: int) -> None:
        """Ignores a step."""

    def found(self, outcome: Outcome) -> None:
        """Ignores a result."""


class _Reporting:
    """Writes the report after each candidate, then passes everything on."""

    def __init__(self, inner: Listener) -> None:
        self.inner = inner

    def stage(self, name: str, total: int) -> None:
        self.inner.stage(name, total)

    def advance(self, done: int, total: int) -> None:
        self.inner.advance(done, total)

    def found(self, outcome: Outcome) -> None:
        write_report(report_of(outcome), outcome.job.output)
        self.inner.found(outcome)


def optimize(job: Job, listener: Listener | None = None) -> Report:
    """Tries every scheme, measures, chooses; writes best.tflite, candidates/, report.json and report.html.

    Args:
        job: the model, the data, the budget and the folder.
        listener: hears the progress.

    Raises:
        TightfitError: the model or the data cannot be used; nothing was written then.
    """
    check_job(job)
    job = replace(job, model=open_model(job.model))
    return report_of(search(job, _Reporting(listener or Quiet())))

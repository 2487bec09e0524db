"""A result as trackers take it: parameters, metrics, histories, files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tightfit.report.report import Report
from tightfit.search.candidates.candidate import Candidate

_LONGEST: Final = 500
_NUMBERS: Final = (
    "size_bytes",
    "latency_ms",
    "latency_ratio",
    "peak_memory_bytes",
    "accuracy",
    "drop",
    "agreement",
    "snr_db",
)


@dataclass(frozen=True)
class Record:
    """A run of a tracker.

    Args:
        name: of the run.
        params: what was asked for or how the file was made, as text.
        metrics: name → value.
        history: metrics of each epoch.
        files: that belong to it.
        text: a summary, markdown.
        parts: runs within it: the candidates.
    """

    name: str
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    text: str = ""
    parts: list[Record] = field(default_factory=list)


def report_record(report: Report, name: str) -> Record:
    """Return a search as a record: the chosen file, with one part for each candidate.

    Args:
        report: finished or not.
        name: of the run.
    """
    chosen, folder = report.chosen, None if report.folder is None else Path(report.folder)
    asked = {"model": report.model.get("name"), "data": report.data.get("name"), **report.run}
    params = asked | {"chosen": report.best, "version": report.version}
    metrics = {} if chosen is None else candidate_metrics(chosen)
    metrics["meets_budget"] = float(report.meets_budget)
    metrics |= {} if report.seconds is None else {"search_seconds": report.seconds}
    names = ("best.tflite", "report.json", "report.html", "tightfit.toml")
    files = [] if folder is None else [folder / n for n in names if (folder / n).is_file()]
    parts = [_part(c, report) for c in report.candidates if c.failure is None]
    return Record(name, words_of(params), metrics, files=files, text=_table(report), parts=parts)


def _part(candidate: Candidate, report: Report) -> Record:
    made = {
        "scheme": candidate.scheme,
        "interface": candidate.interface,
        "layout": candidate.layout,
        "steps": "; ".join(candidate.steps),
        "chosen": candidate.name == report.best,
        "fits": candidate.meets_budget,
    }
    return Record(candidate.name, words_of(made), candidate_metrics(candidate))


def candidate_metrics(candidate: Candidate) -> dict[str, float]:
    """Return what was measured of a candidate, finite values only; ``accuracy`` is the main metric.

    Example:
        >>> candidate_metrics(Candidate("a", "int8", size_bytes=5, snr_db=float("inf")))
        {'size_bytes': 5.0}
    """
    found: dict[str, object] = {name: getattr(candidate, name) for name in _NUMBERS}
    found |= {f"latency_p{k}_ms": v for k, v in candidate.latency_percentiles.items()}
    found |= {metric: facts.get("value") for metric, facts in candidate.metrics.items()}
    return numbers_of(found)


def numbers_of(values: Mapping[str, object]) -> dict[str, float]:
    """Return the finite numbers, with names that every tracker takes.

    Example:
        >>> numbers_of({"top1@out": 0.5, "name": "x", "nan": float("nan")})
        {'top1_out': 0.5}
    """
    return {
        _metric_name(name): float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _metric_name(name: str) -> str:
    """A name with letters, digits, ``_``, ``-``, ``.`` and ``/`` only."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-./") else "_" for c in name)


def words_of(values: Mapping[str, object]) -> dict[str, str]:
    """Return values as text that is not too long; what is None is left out."""
    return {_metric_name(k): str(v)[:_LONGEST] for k, v in values.items() if v is not None}


def _table(report: Report) -> str:
    """The candidates as a markdown table."""
    titles, rows = report.table()
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in (titles, *rows)]
    return "\n".join([lines[0], "|---" * len(titles) + "|", *lines[1:]])

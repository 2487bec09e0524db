"""What was asked, of which model, with which data, on which machine: titled facts in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from tightfit.evaluation.metrics.spelling import Limit
from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.search.verdict.budget import Budget
from tightfit.search.verdict.judged_drop import ESTIMATE, common_limit
from tightfit.search.verdict.metric_words import metric_words
from tightfit.units import format_bytes, format_milliseconds, format_percent, format_ratio

_FACT_LENGTH = 160
_TITLES = {
    "arch": "Architecture",
    "calibration_samples": "To calibrate",
    "count": "Samples",
    "cpu": "Processor",
    "evaluation_samples": "To evaluate",
    "flags": "Instructions",
    "has_labels": "Labels",
    "image": "Images",
    "litert": "LiteRT",
    "macs": "MACs",
    "memory_bytes": "Memory",
    "os": "System",
    "sha256": "SHA-256",
    "size_bytes": "Size",
}


class Fact(NamedTuple):
    """A term and what it is; ``code`` for digests and paths, which are set in a fixed pitch."""

    term: str
    text: str
    code: bool = False


def budget_facts(budget: Budget, metric: str = "top1") -> list[Fact]:
    """Return the limits, also those that were not set.

    Example:
        >>> budget_facts(Budget(max_size=6_000_000))[1]
        Fact(term='File size', text='at most 6.0 MB', code=False)
    """
    judged = "by its estimate" if budget.judge == ESTIMATE else "by its 95 % interval"
    latency = [format_milliseconds(budget.max_latency)] if budget.max_latency is not None else []
    if budget.max_latency_ratio is not None:
        latency.append(f"{format_ratio(budget.max_latency_ratio)} of the original")
    return [
        Fact("Loss", f"at most {_losses(budget, metric)}, judged {judged}" if budget.limits_drop else "any"),
        Fact("File size", "any" if budget.max_size is None else f"at most {format_bytes(budget.max_size)}"),
        *(
            []
            if budget.max_zip is None
            else [Fact("Packed", f"at most {format_bytes(budget.max_zip)} as zip")]
        ),
        Fact("Latency", f"at most {' and '.join(latency)}" if latency else "any"),
        Fact("Target", printable(budget.target or "this machine", 60)),
        *([] if budget.minutes is None else [Fact("Time to search", f"{budget.minutes:g} minutes")]),
    ]


def _losses(budget: Budget, metric: str) -> str:
    """Each limit on a metric in its unit."""
    limits = {n: Limit.parse(str(t), n) for n, t in budget.max_drops.items()}
    if not limits and budget.max_drop is not None:
        return _limit_words(metric, common_limit(budget.max_drop, metric))
    return ", ".join(
        f"{_limit_words(name, limit)} of {metric_words(name).noun}" for name, limit in limits.items()
    )


def _limit_words(metric: str, limit: Limit) -> str:
    if limit.relative:
        return f"{format_percent(limit.amount)} of the original's value"
    return metric_words(metric).amount(limit.amount)


def search_facts(report: Report) -> list[Fact]:
    """Return how much was tried, when and for how long."""
    tried = len(report.candidates)
    fitting = sum(bool(c.meets_budget) for c in report.candidates)
    share = f"{fitting} of {tried}" + (f" ({format_percent(fitting / tried, 0)})" if tried > 20 else "")
    facts = [Fact("Candidates that fit", share)]
    if report.seconds is not None:
        facts.append(Fact("Took", _duration(report.seconds)))
    if report.created:
        facts.append(Fact("Finished" if report.finished else "So far", _moment(report.created)))
    if report.version:
        facts.append(Fact("tightfit", printable(report.version, 40)))
    return facts


def facts_of(entries: Mapping[str, Any]) -> list[Fact]:
    """Return a fact an entry that says something; unknown keys are shown by their name."""
    found = []
    for key, value in entries.items():
        if value is None or value in ("", [], {}):
            continue
        term = _TITLES.get(key) or printable(key.replace("_", " ").capitalize(), 40)
        code = key in ("sha256", "fingerprint")
        found.append(Fact(term, printable(_words(key, value), _FACT_LENGTH), code))
    return found


def _words(key: str, value: Any) -> str:
    """A fact's value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "none" if key == "has_labels" else "no"
    if isinstance(value, int | float):
        return format_bytes(value) if key.endswith("_bytes") else f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(str(v) for v in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return str(value)


def _moment(created: str) -> str:
    """A date and time without the letters that machines need.

    Example:
        >>> _moment("2026-11-22T21:04:09+00:00")
        '2026-11-22 21:04 UTC'
    """
    try:
        moment = dt.datetime.fromisoformat(created)
    except ValueError:
        return printable(created, 40)
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".rstrip()


def _duration(seconds: float) -> str:
    """A time that a person waited.

    Example:
        >>> _duration(42), _duration(412), _duration(7500)
        ('42 s', '6 min 52 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

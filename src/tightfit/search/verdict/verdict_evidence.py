"""What the verdict on a candidate rests on: samples, intervals, or a proxy and what that cannot see."""

from __future__ import annotations

from typing import Any, Final

from tightfit.evaluation.metrics.metric_table import find_metric
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.budget import Budget, judged_drops
from tightfit.search.verdict.judged_drop import ESTIMATE, JudgedDrop
from tightfit.search.verdict.metric_words import metric_words
from tightfit.units import format_count

_MOST: Final = 10_000_000


def evidence_of(candidate: Candidate, budget: Budget) -> dict[str, Any]:
    """Return what the verdict on a candidate rests on, as plain data.

    Returns:
        ``judged``: ``interval`` or ``estimate``; ``enough``: whether the samples are; ``limits``: metric →
        ``allowed``, ``change``, ``interval``, ``n``, ``enough``, ``needed``; ``proxies``: what stands in for
        labels and what it cannot see; ``sentence``: all of it in words. Empty where no metric is limited.
    """
    if candidate.failure is not None or candidate.is_original or not budget.limits_drop:
        return {}
    drops = judged_drops(budget, candidate)
    proxies = proxies_of(candidate)
    return {
        "judged": budget.judge,
        "enough": all(drop.is_proven for drop in drops),
        "limits": {drop.metric: drop.to_dict() for drop in drops},
        "proxies": proxies,
        "sentence": " ".join([*(_sentence(drop) for drop in drops if drop.drop is not None), *proxies]),
    }


def missing_evidence(candidate: Candidate, budget: Budget) -> list[str]:
    """Return a sentence for each limited metric whose samples are too few to say that it is within its limit.

    Example:
        >>> score = {"value": 1.0, "change": 0.0, "interval": [-0.434, 0.434], "n": 5}
        >>> few = {"top1": {**score, "lost": 0, "gained": 0}}
        >>> missing_evidence(Candidate("a", "int8", drop=0.0, metrics=few), Budget(max_drop=0.01))
        ['Not enough evidence: n = 5, ±43 points; 381 samples would do.']
    """
    return [
        lacking(drop) for drop in judged_drops(budget, candidate) if drop.drop is not None and not
        drop.is_proven and drop.counted <= drop.allowed
    ]  # fmt: skip


def lacking(drop: JudgedDrop) -> str:
    """Return what is lacking to say that a drop is within its limit."""
    words = metric_words(drop.metric)
    spread = f", {words.spread(drop.half)}" if drop.half is not None else ""
    of = "" if drop.metric in ("top1", "agreement") else f" for {words.noun}"
    return f"Not enough evidence{of}: n = {drop.n:,}{spread}; {_needed(drop)}."


def _needed(drop: JudgedDrop) -> str:
    if drop.half is None:
        return "samples are too few for an interval: give at least 20, better 400"
    if drop.needed is None:
        return "its estimate is at the limit, so more samples may decide against it"
    if drop.needed > _MOST:
        return "more than ten million samples would be needed"
    return f"{drop.needed:,} samples would do"


def _sentence(drop: JudgedDrop) -> str:
    words = metric_words(drop.metric)
    if drop.n is None:
        return ""
    change = f"{words.change(drop.drop)}{words.unit}"
    known = drop.low is not None and drop.high is not None
    interval = f" (95 % interval {words.change_interval((drop.low, drop.high))})" if known else ""  # type: ignore[arg-type]  # both are known
    how = "by its estimate, as asked" if drop.judge == ESTIMATE else "by its interval"
    return (
        f"{words.title}: {change}{interval} on {format_count(drop.n, 'sample')}; "
        f"{words.amount(drop.allowed)} are "
        f"allowed, judged {how}."
    )


def proxies_of(candidate: Candidate) -> list[str]:
    """Return a sentence for each metric that stands in for labels: what it cannot see."""
    found: dict[str, list[str]] = {}
    for name in candidate.metrics:
        row = find_metric(name.partition("@")[0])
        if row is not None and row.proxy and not (row.name == "retrieval" and len(candidate.metrics) > 1):
            found.setdefault(row.proxy, []).append(metric_words(name).noun)
    return [f"No labels: {' and '.join(nouns)} cannot show {proxy}." for proxy, nouns in found.items()]

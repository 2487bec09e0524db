"""The choice for each board, and for all boards: ``choose`` on the latencies measured there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.budget import Budget
from tightfit.search.verdict.choice import choose, judge


def seen_from(candidate: Candidate, name: str) -> Candidate:
    """Return a copy of a candidate with the latency of a board.

    Example:
        >>> pi = {"pi": {"latency_ms": 9.0, "latency_ratio": 0.5, "latency_interval": [0.4, 0.6]}}
        >>> seen_from(Candidate("int8", "int8", devices=pi), "pi").latency_ratio
        0.5
    """
    facts = candidate.devices.get(name, {})
    low_high = facts.get("latency_interval")
    return replace(
        candidate,
        latency_ms=facts.get("latency_ms"),
        latency_ratio=facts.get("latency_ratio"),
        latency_interval=None if low_high is None else (low_high[0], low_high[1]),
        peak_memory_bytes=facts.get("peak_memory_bytes"),
        failure=candidate.failure or facts.get("failure"),
        reasons=[],
        evidence={},
    )


def seen_from_all(candidate: Candidate, names: Sequence[str]) -> Candidate:
    """Return a copy with the latency of the board where it gains least; one failure is a failure."""
    views = [seen_from(candidate, name) for name in names if name in candidate.devices]
    failed = next((view for view in views if view.failure is not None), None)
    if failed is not None or not views:
        return failed or replace(candidate, reasons=[], evidence={})
    return max(views, key=lambda view: view.latency_ratio or 0.0)


def choose_for(
    candidates: Sequence[Candidate], budget: Budget, names: Sequence[str]
) -> dict[str, str | None]:
    """Return board → name of the candidate that ``CHOICE_RULE`` chooses with its latencies.

    Args:
        candidates: all.
        budget: the limits, which hold on every board.
        names: of the boards that measured.
    """
    found: dict[str, str | None] = {}
    for name in names:
        views = [seen_from(c, name) for c in candidates]
        chosen = choose(judge(views, budget), budget)
        found[name] = None if chosen is None else chosen.name
    return found


def judge_for_all(
    candidates: Sequence[Candidate], budget: Budget, names: Sequence[str]
) -> tuple[list[Candidate], Candidate | None]:
    """Return the candidates with the verdicts for all boards, and the one that is chosen for all of them."""
    views = judge([seen_from_all(c, names) for c in candidates], budget)
    judged = [
        replace(c, meets_budget=v.meets_budget, reasons=v.reasons, evidence=v.evidence)
        for c, v in zip(candidates, views, strict=True)
    ]
    chosen = choose(views, budget)
    return judged, None if chosen is None else next(c for c in judged if c.name == chosen.name)

"""The budget: what a candidate must keep to, and in which words and by how much it does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tightfit.errors import OptionError, unknown_name
from tightfit.evaluation.metrics.spelling import Limit, parse_metrics
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.judged_drop import ESTIMATE, INTERVAL, JudgedDrop, drops_of
from tightfit.search.verdict.metric_words import MetricWords, metric_words
from tightfit.units import (
    format_bytes,
    format_milliseconds,
    format_percent,
    format_ratio,
)

ONE_POINT = 0.01
JUDGES = (INTERVAL, ESTIMATE)
_PACKED = ("packed size", "Packed as zip the file is")
_RELATIVE = ("latency", "Its latency relative to the original is")


class Shortfall(NamedTuple):
    """One limit that a candidate misses: the sentence, and by how much relative to the limit (> 0)."""

    reason: str
    excess: float


@dataclass(frozen=True)
class Budget:
    """What the device allows; None is no limit.

    Args:
        max_drop: accuracy that may be lost, a fraction (0.01 is one point).
        max_size: file size in bytes.
        max_zip: bytes of the file packed as zip, as in a download.
        max_latency: milliseconds a call on this machine.
        max_latency_ratio: latency relative to the original on this machine.
        target: name of the target that must take the file.
        target_memory: bytes, where they are not the target's.
        min_accelerated: share of the multiply–accumulates that it must accelerate.
        minutes: time that the search may take; it judges no candidate.
        confident: a candidate whose 95 % interval leaves the budget does not fit, rather than being unproven.
        max_drops: metric → how much worse it may be, for several metrics: a number in the metric's unit, or a
            share of the original's value as ``5%``.
        judge: ``interval``: a drop is within the budget where its 95 % interval is; ``estimate``: where it
            is.

    Raises:
        OptionError: when a limit is not one that a file could meet.
    """

    max_drop: float | None = None
    max_size: int | None = None
    max_latency: float | None = None
    max_latency_ratio: float | None = None
    target: str | None = None
    target_memory: int | None = None
    min_accelerated: float = 0.9
    minutes: float | None = None
    confident: bool = False
    max_zip: int | None = None
    max_drops: Mapping[str, float | str] = field(default_factory=dict)
    judge: str = INTERVAL

    def __post_init__(self) -> None:
        """Refuses limits that no file could meet."""
        if self.max_drop is not None and not (math.isfinite(self.max_drop) and self.max_drop >= 0):
            raise OptionError(f"max_drop is {self.max_drop}; expected 0 or more, such as 0.01 for one point.")
        for name in ("max_size", "max_zip", "max_latency", "max_latency_ratio", "minutes"):
            limit = getattr(self, name)
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise OptionError(f"{name} is {limit}; expected a number above 0, or nothing for no limit.")
        for name, text in self.max_drops.items():
            parse_metrics(name)
            Limit.parse(str(text), name)
        if self.judge not in JUDGES:
            raise OptionError(unknown_name("way to judge a drop", self.judge, JUDGES))

    @property
    def limits_drop(self) -> bool:
        """True when a metric may not get worse than allowed."""
        return self.max_drop is not None or bool(self.max_drops)

    def without_drop(self) -> Budget:
        """The same budget without a limit on any metric."""
        return replace(self, max_drop=None, max_drops={})

    def only_drop(self) -> Budget:
        """The same limits on metrics without any other limit."""
        return Budget(self.max_drop, confident=self.confident, max_drops=self.max_drops, judge=self.judge)

    @property
    def is_empty(self) -> bool:
        """True when nothing limits the candidates."""
        limits = (self.max_drop, self.max_size, self.max_zip, self.max_latency, self.max_latency_ratio)
        return all(limit is None for limit in (*limits, self.target)) and not self.max_drops

    def meets(self, candidate: Candidate) -> bool:
        """True when the candidate was made and surely keeps to every limit.

        Example:
            >>> Budget(max_size=6_000_000).meets(Candidate("int8", "int8", ["int8"], size_bytes=5_300_000))
            True
        """
        return self.may_meet(candidate) and all(drop.is_proven for drop in judged_drops(self, candidate))

    def may_meet(self, candidate: Candidate) -> bool:
        """True when the candidate was made and misses no limit by its estimates."""
        return candidate.failure is None and not self.shortfalls(candidate)

    def settles(self, candidate: Candidate) -> bool:
        """True when the candidate meets the budget, or only more samples could show that one does."""
        return self.may_meet(candidate) and all(
            drop.is_proven or not drop.is_provable for drop in judged_drops(self, candidate)
        )

    def allows_loss_of(self, candidate: Candidate) -> bool:
        """True when the candidate's accuracy is within the budget, whatever its size and latency are.

        Example:
            >>> Budget(max_drop=0.01).allows_loss_of(Candidate("int8", "int8", ["int8"], drop=0.02))
            False
        """
        return not drop_shortfalls(self, candidate) and not _lost_outputs(candidate)

    def shortfalls(self, candidate: Candidate) -> list[Shortfall]:
        """Return each limit that the candidate misses; a limit on what was not measured is missed.

        Without labels there is no drop: the share of changed decisions, which bounds it, takes its place.

        Example:
            >>> Budget(max_size=4_000_000).shortfalls(Candidate("a", "int8", size_bytes=5_000_000))[0].reason
            'The file is 5.0 MB; the budget allows 4.0 MB.'
        """
        found = [
            *_lost_outputs(candidate),
            *drop_shortfalls(self, candidate),
            _over(("size", "The file is"), candidate.size_bytes, self.max_size, format_bytes),
            _over(_PACKED, candidate.compressed_bytes.get("zip"), self.max_zip, format_bytes),
            _over(("latency", "A call takes"), candidate.latency_ms, self.max_latency, format_milliseconds),
            _over(_RELATIVE, candidate.latency_ratio, self.max_latency_ratio, format_ratio),
            _target_shortfall(self.target, candidate),
        ]
        return [shortfall for shortfall in found if shortfall is not None]


def judged_drops(budget: Budget, candidate: Candidate) -> list[JudgedDrop]:
    """Return the drop of each limited metric with what it is judged by; none for the original."""
    if candidate.is_original:
        return []
    return drops_of(candidate, budget.max_drop, budget.max_drops, budget.judge, confident=budget.confident)


def allowed_drop(budget: Budget, candidates: Sequence[Candidate]) -> float | None:
    """Return by how much the main metric may get worse, in its unit; None without a limit on it."""
    for candidate in candidates:
        for drop in judged_drops(budget, candidate):
            if drop.metric == candidate.metric:
                return drop.allowed
    return budget.max_drop


def _lost_outputs(candidate: Candidate) -> list[Shortfall]:
    """The outputs of which a slice is of no use, whatever the budget is."""
    sentences = [output["lost"] for output in candidate.outputs if output.get("lost")]
    return [Shortfall(f"{text[:1].upper()}{text[1:]}.", 1.0) for text in sentences]


def _over(
    what: tuple[str, str],
    value: float | None,
    limit: float | None,
    words: Callable[[float | None], str],
) -> Shortfall | None:
    """The shortfall of a number, named by its noun and its sentence; ``excess = value / limit − 1``."""
    if limit is None:
        return None
    if value is None or not math.isfinite(value):
        return Shortfall(f"Its {what[0]} was not measured; the budget allows {words(limit)}.", 1.0)
    if value <= limit:
        return None
    received, allowed = _told_apart(value, limit, words)
    return Shortfall(f"{what[1]} {received}; the budget allows {allowed}.", value / limit - 1)


def _told_apart(value: float, limit: float, words: Callable[[float | None], str]) -> tuple[str, str]:
    """Both numbers in words, the received one marked where rounding would make them read the same."""
    received, allowed = words(value), words(limit)
    return (f"a little over {allowed}" if received == allowed else received), allowed


def drop_shortfalls(budget: Budget, candidate: Candidate) -> list[Shortfall]:
    """Return the limits on metrics that a candidate misses.

    ``excess`` is relative to the limit; a limit on a share counts as one point at least.
    """
    if not budget.limits_drop or candidate.is_original:
        return []
    found = []
    for drop in judged_drops(budget, candidate):
        words = metric_words(drop.metric)
        if drop.drop is None:
            allowed = words.amount(drop.allowed)
            found.append(Shortfall(f"Its {words.noun} was not measured; the budget allows {allowed}.", 1.0))
        elif drop.counted > drop.allowed:
            found.append(_missed(drop, words, candidate))
    return found


def _missed(drop: JudgedDrop, words: MetricWords, candidate: Candidate) -> Shortfall:
    received, allowed = _told_apart(drop.counted, drop.allowed, words.amount)
    if drop.is_proxy:
        share = format_percent(candidate.agreement)
        start = f"It decides like the original on {share} of the samples, so it may lose up to {received}"
    elif drop.drop is not None and drop.counted > drop.drop:
        start = f"Its {words.noun} may {words.worsens} by up to {received}"
    else:
        start = f"Its {words.noun} {words.worsens}s by {received}"
    unit = max(drop.allowed, ONE_POINT) if words.is_bounded else drop.allowed or ONE_POINT
    excess = (drop.counted - drop.allowed) / unit
    return Shortfall(f"{start}; the budget allows {allowed}.", excess)


def _target_shortfall(target: str | None, candidate: Candidate) -> Shortfall | None:
    """The shortfall against the target; ``excess`` is the share of the MACs that it does not accelerate."""
    if target is None:
        return None
    verdict = candidate.targets.get(target)
    if verdict is None:
        return Shortfall(f"It was not checked for the target {target}.", 1.0)
    if verdict.fits:
        return None
    why = f": {verdict.reasons[0]}" if verdict.reasons else ""
    return Shortfall(
        f"It does not fit the target {target}{why.rstrip('.')}.", 1.0 - (verdict.accelerated or 0.0) or 1.0
    )

"""The choice: which candidate is best under a budget, and which ones trade size, accuracy and latency off.

The rule in plain words is ``CHOICE_RULE``, which the report prints; ``choose`` does what it says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.budget import Budget
from tightfit.search.verdict.verdict_evidence import evidence_of, missing_evidence

NEAR_TIE = 1.02

CHOICE_RULE = (
    "Of the candidates that meet the budget, the one with the smallest product of file size and latency "
    "ratio is chosen. Products count as equal when they lie within 2 %, or when the 95 % intervals of the "
    "latency ratios leave open which is smaller; among those the most accurate is chosen, then the one with "
    "the wider inputs and outputs, then the smaller file. A candidate meets the budget only where the "
    "samples are enough to say so: where the 95 % interval of each limited metric lies within its limit, or "
    "where the estimate was asked for. When none does that costs less than the original, those that may meet "
    "it are compared in the same way, and the verdict says how many samples would do; without such the "
    "original is chosen. When nothing may meet the budget, the candidate that exceeds it by least is "
    "chosen: the least sum, over all limits, of the excess relative to the limit."
)

_IO_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "int16": 16, "int8": 8, "uint8": 8}
_NOTHING = (math.inf, math.inf, math.inf)


class Cost(NamedTuple):
    """``size_bytes · latency_ratio``: by the measured ratio, and by the ends of its 95 % interval."""

    low: float
    middle: float
    high: float

    def surely_below(self, other: Cost) -> bool:
        """Return True when this cost is the smaller one, whatever the noise of the latency did."""
        return NEAR_TIE * self.middle < other.middle and self.high < other.low


def judge(candidates: Sequence[Candidate], budget: Budget) -> list[Candidate]:
    """Return the candidates, in their order, with ``meets_budget``, ``reasons`` and ``evidence``.

    Example:
        >>> heavy = Candidate("float", "float32", size_bytes=18_600_000)
        >>> [heavy] = judge([heavy], Budget(max_size=6_000_000))
        >>> heavy.meets_budget, heavy.reasons
        (False, ('The file is 18.6 MB; the budget allows 6.0 MB.',))
    """
    return [_judged(candidate, budget) for candidate in candidates]


def _judged(candidate: Candidate, budget: Budget) -> Candidate:
    meets: bool | None = budget.meets(candidate)
    if candidate.failure is not None:
        reasons = [candidate.failure]
    elif budget.may_meet(candidate) and not meets:
        meets, reasons = None, missing_evidence(candidate, budget)
    elif candidate.beaten_by is not None and budget.without_drop().meets(candidate):
        meets = None
        reasons = [
            f"{candidate.beaten_by} fits and is preferred for its size and latency, so the accuracy was "
            "not measured; --effort normal measures it."
        ]
    else:
        reasons = [shortfall.reason for shortfall in budget.shortfalls(candidate)]
    return replace(candidate, meets_budget=meets, reasons=reasons, evidence=evidence_of(candidate, budget))


def choose(candidates: Sequence[Candidate], budget: Budget) -> Candidate | None:
    """Return the best candidate by ``CHOICE_RULE``, or None when every one failed.

    An unmeasured latency counts as the slowest measured one. The order of ``candidates`` does not matter.

    Example:
        >>> small = Candidate("int8", "int8", ["int8"], size_bytes=5, latency_ratio=0.95, drop=0.007)
        >>> exact = Candidate("int16x8", "int16x8", ["int16x8"], size_bytes=6, latency_ratio=1.5, drop=0.001)
        >>> choose([small, exact], Budget(max_drop=0.01)).name
        'int8'
        >>> choose([small, exact], Budget(max_drop=0.005)).name
        'int16x8'
    """
    made = [c for c in candidates if c.failure is None]
    if not made:
        return None
    cost = _costs(made)
    fitting = [c for c in made if budget.may_meet(c)]
    if not fitting:
        return min(made, key=lambda c: (_violation(c, budget), cost[c.name].middle, *_preference(c)))
    return min(_cheapest(fitting, cost, [c for c in fitting if budget.meets(c)]), key=_preference)


def tie_notes(candidates: Sequence[Candidate], budget: Budget) -> list[str]:
    """Return a sentence on the candidates whose cost equals the chosen one's within the noise, if any.

    Example:
        >>> one = Candidate("a", "int8", ["int8"], size_bytes=100, latency_ratio=0.90, drop=0.001)
        >>> other = Candidate("b", "int8", ["int8"], size_bytes=100, latency_ratio=0.91, drop=0.002)
        >>> tie_notes([one, other], Budget(max_drop=0.01))
        ['a and b are equal in size × latency as far as latency is measured; a is chosen for its accuracy.']
    """
    chosen = choose(candidates, budget)
    if chosen is None or not budget.meets(chosen):
        return []
    made = [c for c in candidates if c.failure is None]
    sure = [c for c in made if budget.meets(c)]
    tied = _cheapest(sure, _costs(made), sure)
    others = sorted((c for c in tied if c.name != chosen.name), key=_preference)
    if not others:
        return []
    *some, last = [chosen.name, *(c.name for c in others)]
    return [
        f"{', '.join(some)} and {last} are equal in size × latency as far as latency is measured; "
        f"{chosen.name} is chosen for its accuracy."
    ]


def _cheapest(
    fitting: Sequence[Candidate], cost: Mapping[str, Cost], sure: Sequence[Candidate]
) -> list[Candidate]:
    """The one of least cost and its equals; an original only where nothing costs less.

    Args:
        fitting: candidates that meet the budget.
        cost: name of a candidate → what it costs.
        sure: those that surely meet the budget; they come before those that may.
    """
    changed = [c for c in fitting if not c.is_original]
    originals = [c for c in fitting if c.is_original]
    if originals:
        bar = min(cost[c.name].middle for c in originals)
        changed = [c for c in changed if cost[c.name].middle < bar]
    known = {c.name for c in sure}
    pool = [c for c in changed if c.name in known] or changed or originals
    least = min((cost[c.name] for c in pool), key=lambda c: (c.middle, c.high))
    return [c for c in pool if not least.surely_below(cost[c.name])]


def beaten_by(candidate: Candidate, candidates: Sequence[Candidate], budget: Budget) -> Candidate | None:
    """Return one that ``CHOICE_RULE`` prefers to a candidate however accurate that may be, or None.

    Args:
        candidate: one whose accuracy is not measured yet.
        candidates: all so far, their sizes and latencies measured.
        budget: the limits.

    Example:
        >>> small = Candidate("int8", "int8", ["int8"], size_bytes=5, latency_ratio=0.9, drop=0.007)
        >>> large = Candidate("float16", "float16", ["float16"], size_bytes=9, latency_ratio=1.0)
        >>> beaten_by(large, [small, large], Budget(max_drop=0.01)).name
        'int8'
        >>> beaten_by(large, [small, large], Budget(max_drop=0.001)) is None
        True
    """
    made = [c for c in candidates if c.failure is None]
    cost, whatever = _costs(made), budget.without_drop()
    fitting = [c for c in made if c.name != candidate.name and budget.settles(c)]
    if not whatever.meets(candidate):
        return fitting[0] if fitting else None
    return next((c for c in fitting if cost[c.name].surely_below(cost[candidate.name])), None)


def by_cost(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those that were made, the one that ``CHOICE_RULE`` prefers first where all are accurate."""
    made = [c for c in candidates if c.failure is None]
    cost = _costs(made)
    return sorted(made, key=lambda c: cost[c.name].middle)


def pareto(candidates: Sequence[Candidate]) -> list[str]:
    """Return the names that no other candidate beats, the smallest file first.

    One beats another when it is no worse in size, drop and latency ratio and better in one. Latency ratios
    that fall in the same 2 % step (1.00× is the middle of one) count as equal: less is noise. Without labels
    the share of changed decisions stands for the drop. What was not measured counts as worst.

    Example:
        >>> a = Candidate("a", "int8", ["int8"], size_bytes=5, drop=0.01, latency_ratio=0.9)
        >>> b = Candidate("b", "float16", ["float16"], size_bytes=9, drop=0.0, latency_ratio=1.0)
        >>> c = Candidate("c", "dynamic", ["dynamic"], size_bytes=9, drop=0.01, latency_ratio=1.3)
        >>> pareto([c, b, a])
        ['a', 'b']
    """
    points = {c.name: objectives(c) for c in candidates if c.failure is None}
    made = [c for c in candidates if c.name in points and points[c.name] != _NOTHING]
    front = [c for c in made if not any(_beats(points[o.name], points[c.name]) for o in made)]
    return [c.name for c in sorted(front, key=lambda c: (points[c.name], c.name))]


def objectives(candidate: Candidate) -> tuple[float, float, float]:
    """Return what ``pareto`` compares, each to be minimized: bytes, drop, step of the latency ratio."""
    drop = 0.0 if candidate.is_original else candidate.drop
    if drop is None and candidate.agreement is not None:
        drop = 1 - candidate.agreement
    ratio = _known(candidate.latency_ratio)
    step = round(math.log(ratio) / math.log(NEAR_TIE)) if 0 < ratio < math.inf else math.inf
    return _known(candidate.size_bytes), _known(drop), step


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """True when ``one`` is nowhere worse and somewhere better."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _costs(candidates: Sequence[Candidate]) -> dict[str, Cost]:
    """``size_bytes · latency_ratio`` of each candidate, by its name."""
    ratios = [r for c in candidates if (r := _known(c.latency_ratio)) < math.inf]
    slowest = max(ratios, default=1.0)
    return {c.name: _cost(c, slowest) for c in candidates}


def _cost(candidate: Candidate, slowest: float) -> Cost:
    size, ratio = _known(candidate.size_bytes), min(_known(candidate.latency_ratio), slowest)
    low, high = candidate.latency_interval or (ratio, ratio)
    return Cost(size * min(low, ratio), size * ratio, size * max(high, ratio))


def _violation(candidate: Candidate, budget: Budget) -> float:
    """How far over the budget a candidate is: the sum of the relative excesses."""
    return sum(shortfall.excess for shortfall in budget.shortfalls(candidate))


def _preference(candidate: Candidate) -> tuple[float, float, float, int, float, str]:
    """Sorts near-ties: drop, agreement, output SNR, wider inputs and outputs, size, name."""
    return (
        0.0 if candidate.is_original else _known(candidate.drop),
        -_known(candidate.agreement, -math.inf),
        -_known(candidate.snr_db, -math.inf),
        -_IO_BITS.get(candidate.interface, 0),
        _known(candidate.size_bytes),
        candidate.name,
    )


def _known(value: float | None, otherwise: float = math.inf) -> float:
    """The number, or what stands for one that was not measured."""
    return otherwise if value is None or not math.isfinite(value) else value

"""The gain of a recovery over the plain candidate of its scheme, and when no recovery can help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tightfit.search.candidates.candidate import Candidate
from tightfit.search.candidates.recipes import Recipe
from tightfit.search.verdict.budget import Budget
from tightfit.search.verdict.metric_words import metric_words
from tightfit.units import format_percent

_SURELY: Final = 1.02
"""Largest ratio of size or latency between a recovered file and the plain one: only a few scales differ."""


def beyond_recovery(plain: Sequence[Candidate], budget: Budget) -> str | None:
    """Return why no recovery can bring a scheme within the budget, or None: it changes neither size nor ops.

    Args:
        plain: the candidates of the scheme so far.
        budget: the budget.

    Example:
        >>> int8 = Candidate("int8", "int8", ["int8"], size_bytes=5_000_000)
        >>> beyond_recovery([int8], Budget(max_size=2_600_000))
        'Files of their schemes are too large, too slow or not for the target, which no recovery changes.'
        >>> beyond_recovery([int8], Budget(max_size=5_000_000)) is None
        True
    """
    if not plain or not all(_is_too_much(c, budget) for c in plain):
        return None
    return "Files of their schemes are too large, too slow or not for the target, which no recovery changes."


def _is_too_much(candidate: Candidate, budget: Budget) -> bool:
    """True where size or latency clearly exceed their limits, or the target does not run the file."""
    verdict = candidate.targets.get(budget.target or "")
    if verdict is not None and not verdict.fits:
        return True
    size, ratio, interval = candidate.size_bytes, candidate.latency_ratio, candidate.latency_interval
    if size is not None and budget.max_size is not None and size > _SURELY * budget.max_size:
        return True
    if not ratio or interval is None:
        return False
    fastest = (candidate.latency_ms or 0.0) * interval[0] / ratio
    return interval[0] > (budget.max_latency_ratio or math.inf) or fastest > (budget.max_latency or math.inf)


def is_dominated(plain: Sequence[Candidate], made: Sequence[Candidate]) -> str | None:
    """Return why a scheme's recovery is not needed, or None: a smaller, faster candidate meets the budget.

    Args:
        plain: the candidates of the scheme so far.
        made: all candidates so far, judged.

    Example:
        >>> int8 = Candidate("int8", "int8", size_bytes=50, latency_ratio=0.5, meets_budget=True)
        >>> wide = Candidate("int16x8", "int16x8", size_bytes=50, latency_ratio=1.5, meets_budget=False)
        >>> is_dominated([wide], [int8, wide])
        'int8 meets the budget, and is no larger and faster.'
        >>> is_dominated([int8], [int8, wide]) is None
        True
    """
    better = [c for c in made if c.meets_budget and not c.is_original and all(_is_less(c, p) for p in plain)]
    return f"{better[0].name} meets the budget, and is no larger and faster." if plain and better else None


def _is_less(candidate: Candidate, other: Candidate) -> bool:
    """True when a measured candidate is clearly faster than another measured one and not larger."""
    sizes = candidate.size_bytes, other.size_bytes
    ratios = candidate.latency_ratio, other.latency_ratio
    if None in sizes or None in ratios:
        return False
    return (sizes[0] or 0) <= _SURELY * (sizes[1] or 0) and _SURELY * (ratios[0] or 0) < (ratios[1] or 0)


def is_repeated(recipe: Recipe, made: Sequence[Candidate], budget: Budget) -> str | None:
    """Return why integer inputs and outputs need not be tried, or None.

    All other integers are those of the plain candidate, so the loss is the same.

    Example:
        >>> lossy = Candidate("int8", "int8", ["int8"], drop=0.02)
        >>> is_repeated(Recipe("int8-io-int8", "int8", "int8"), [lossy], Budget(max_drop=0.01))
        'They compute what int8 computes, which loses too much.'
        >>> is_repeated(Recipe("int8", "int8"), [lossy], Budget(max_drop=0.01)) is None
        True
    """
    twin = next((c for c in made if c.name == recipe.scheme and c.failure is None), None)
    if twin is None or recipe.interface == twin.interface or recipe.recovers or budget.allows_loss_of(twin):
        return None
    return f"They compute what {twin.name} computes, which loses too much."


def with_gain(candidate: Candidate, made: Sequence[Candidate]) -> Candidate:
    """Return it with its ``gain``, also as a step in words, when the plain candidate was measured.

    Args:
        candidate: the candidate with a recovery.
        made: the candidates so far; the plain one has the name of the scheme.

    Example:
        >>> plain = Candidate("int8", "int8", agreement=0.96, accuracy=0.88)
        >>> better = Candidate("int8+gptq", "int8", agreement=0.99, accuracy=0.9)
        >>> with_gain(better, [plain]).steps
        ('beside int8: agreement with float 96.0 % → 99.0 %, accuracy 88.0 % → 90.0 %',)
    """
    twin = next((c for c in made if c.name == candidate.scheme and c.failure is None), None)
    if twin is None or candidate.failure is not None or twin.name == candidate.name:
        return candidate
    gain: dict[str, str | float] = {"over": twin.name}
    parts = []
    if twin.agreement is not None and candidate.agreement is not None:
        gain["agreement"] = candidate.agreement - twin.agreement
        before, after = format_percent(twin.agreement), format_percent(candidate.agreement)
        parts.append(f"agreement with float {before} → {after}")
    if twin.drop is not None and candidate.drop is not None:
        gain["drop"] = candidate.drop - twin.drop
    if twin.accuracy is not None and candidate.accuracy is not None and candidate.metric != "agreement":
        words = metric_words(candidate.metric)
        parts.append(f"{words.noun} {words.score(twin.accuracy)} → {words.score(candidate.accuracy)}")
    if twin.snr_db is not None and candidate.snr_db is not None:
        gain["snr_db"] = candidate.snr_db - twin.snr_db
    found = replace(candidate, gain=gain)
    return found.with_step(f"beside {twin.name}: {', '.join(parts)}") if parts else found


def gain_sentences(candidates: Sequence[Candidate]) -> list[str]:
    """Return one line with the measured gains for each candidate with a recovery."""
    return [
        f"{c.name}: {next(s for s in reversed(c.steps) if s.startswith('beside '))}"
        for c in candidates
        if c.gain and any(s.startswith("beside ") for s in c.steps)
    ]

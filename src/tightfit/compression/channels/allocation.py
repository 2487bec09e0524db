"""How many channels each group keeps under a budget: always the cheapest block of channels goes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.channels.costs import Costs
from tightfit.compression.channels.magnitude_importance import Ranking

LEAST_SHARE: Final = 0.25
"""No group loses more than three quarters of its channels: beyond, nothing was measured."""


def allocate(
    rankings: Sequence[Ranking], costs: Costs, limit: float, multiple: int = 8
) -> npt.NDArray[np.int64]:
    """Gives how many channels each group keeps so that the cost is at most the limit.

    Each step takes the block of channels with the least loss for what it saves; a group's count goes down
    through multiples of ``multiple``, which is how many channels kernels compute at once. What the last block
    saved too much is spent on the blocks that fit again, those first that win the most for what they cost.

    Args:
        rankings: one a group of ``costs``. limit: in the unit of ``costs``.

    Returns:
        The counts; where even the smallest cost more than the limit, the smallest.
    """
    kept = np.array([r.order.size for r in rankings], np.int64)
    counts = [steps(r.order.size, multiple) for r in rankings]
    while costs.total(kept) > limit:
        saved = costs.savings(kept)
        offers = [
            _price(r, int(n), c, float(s)) for r, n, c, s in zip(rankings, kept, counts, saved, strict=True)
        ]
        best = int(np.argmin(offers)) if offers else 0
        if not offers or not np.isfinite(offers[best]):
            break
        kept[best] = max(n for n in counts[best] if n < kept[best])
    return _spend(kept, rankings, costs, limit, counts)


def _spend(
    kept: npt.NDArray[np.int64],
    rankings: Sequence[Ranking],
    costs: Costs,
    limit: float,
    counts: Sequence[Sequence[int]],
) -> npt.NDArray[np.int64]:
    """Gives channels back while some fit under the limit."""
    while True:
        spent = costs.total(kept)
        best, most = None, 0.0
        for g, ranking in enumerate(rankings):
            size = ranking.order.size
            for n in (c for c in (size, *counts[g]) if c > kept[g]):
                more = kept.copy()
                more[g] = n
                cost = costs.total(more)
                won = ranking.losses[size - kept[g]] - ranking.losses[size - n]
                if cost <= limit and won > most * max(cost - spent, 1e-12):
                    best, most = more, float(won / max(cost - spent, 1e-12))
        if best is None:
            return kept
        kept = best


def steps(size: int, multiple: int) -> list[int]:
    """Gives the numbers of channels that a group may keep, from most to fewest.

    Example:
        >>> steps(36, 8), steps(8, 8), steps(6, 1)
        ([32, 24, 16], [], [5, 4, 3, 2])
    """
    least = max(multiple, int(np.ceil(size * LEAST_SHARE)))
    return [n for n in range(size - 1, least - 1, -1) if n % multiple == 0]


def _price(ranking: Ranking, kept: int, counts: Sequence[int], saving: float) -> float:
    """The least loss a unit saved over all counts below: a steep step may lead to flat ones."""
    lower = np.array([n for n in counts if n < kept])
    if not lower.size or saving <= 0:
        return np.inf
    size = ranking.order.size
    losses = ranking.losses[size - lower] - ranking.losses[size - kept]
    return float((losses / (saving * (kept - lower))).min())

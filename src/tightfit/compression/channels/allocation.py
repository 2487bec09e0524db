"""Allocate channels under a budget: greedily remove the block with the least loss for its saving."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.channels.channel_groups import Dependencies, Group
from tightfit.compression.channels.magnitude_importance import Ranking
from tightfit.graph.ir import Model
from tightfit.graph.ops.macs import WEIGHTS, macs

LEAST_SHARE: Final = 0.25
"""The least fraction of channels that a group keeps; below it no loss was measured."""


def allocate(
    rankings: Sequence[Ranking], costs: Costs, limit: float, multiple: int = 8
) -> npt.NDArray[np.int64]:
    """Return how many channels each group keeps so that the cost is at most the limit.

    Each step removes the block of channels with the least loss for its saving. A group's count steps down
    through multiples of ``multiple``. The last block may save more than needed: blocks that fit again under
    the limit are then restored, those with the most gain for their cost first.

    Args:
        rankings: one for each group of ``costs``.
        costs: the cost for any number of kept channels.
        limit: the most that the result may cost, in the unit of ``costs``.
        multiple: number of channels that kernels compute at once; kept channels are a multiple of it.

    Returns:
        The kept channels of each group, (groups,). Where even the smallest counts cost more than the limit,
        the smallest counts.
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
    """Restore channels while some fit under the limit."""
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
    """Return the numbers of channels that a group of ``size`` channels may keep, in descending order.

    Example:
        >>> steps(36, 8), steps(8, 8), steps(6, 1)
        ([32, 24, 16], [], [5, 4, 3, 2])
    """
    least = max(multiple, int(np.ceil(size * LEAST_SHARE)))
    return [n for n in range(size - 1, least - 1, -1) if n % multiple == 0]


def _price(ranking: Ranking, kept: int, counts: Sequence[int], saving: float) -> float:
    """The least loss per unit saved over all smaller counts: a steep step may precede flat ones."""
    lower = np.array([n for n in counts if n < kept])
    if not lower.size or saving <= 0:
        return np.inf
    size = ranking.order.size
    losses = ranking.losses[size - lower] - ranking.losses[size - kept]
    return float((losses / (saving * (kept - lower))).min())


Vector = npt.NDArray[np.float64]


class Costs:
    """The cost of a graph as a function of the channels that each group keeps.

    Args:
        groups: the groups that may lose channels.
        weights: for each weight its unpruned cost, and the channel numbers along each of its axes.
        fixed: the cost that does not depend on channels.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        weights: Sequence[tuple[float, list[npt.NDArray[np.int64]]]],
        fixed: float,
    ) -> None:
        self.fixed = fixed
        owner = {int(c): g for g, group in enumerate(groups) for c in group.channels}
        self.amounts = np.array([cost for cost, _ in weights], np.float64)
        depth = max((len(axes) for _, axes in weights), default=0)
        # Kept fraction of each axis = constant + shares · kept; a missing axis keeps all.
        self.constant = np.ones((depth, len(weights)))
        self.shares = np.zeros((depth, len(weights), len(groups)))
        for w, (_, axes) in enumerate(weights):
            for a, channels in enumerate(axes):
                self.constant[a, w] = 0.0
                for channel in channels.tolist():
                    if channel in owner:
                        self.shares[a, w, owner[channel]] += 1 / channels.size
                    else:
                        self.constant[a, w] += 1 / channels.size
        counts = np.array([len(g) for g in groups], np.float64)
        self.shares /= np.maximum(counts, 1)

    def total(self, kept: npt.NDArray[np.int64]) -> float:
        """Return the cost when each group keeps ``kept`` channels, (groups,)."""
        stays = self.constant + self.shares @ kept
        return float(self.fixed + self.amounts @ stays.prod(0))

    def savings(self, kept: npt.NDArray[np.int64]) -> Vector:
        """Return the cost that removing one more channel of each group saves, (groups,)."""
        stays = self.constant + self.shares @ kept
        rest = np.zeros(self.shares.shape[1:])
        for axis in range(stays.shape[0]):
            others = np.delete(stays, axis, 0).prod(0)
            rest += self.shares[axis] * others[:, None]
        return np.asarray(self.amounts @ rest, np.float64)


def mac_costs(model: Model, found: Dependencies, groups: Sequence[Group]) -> Costs:
    """Return the multiply–accumulates of the main graph as a function of the kept channels."""
    axes = defaultdict(list)
    for place in found.places:
        if place.position in WEIGHTS.get(place.op.kind, ()):
            axes[place.op].append(place.channels)
    total = sum(macs(op) for op in model.main.ops)
    weights = [(float(macs(op)), several) for op, several in axes.items()]
    return Costs(_counted(groups, found), weights, total - sum(cost for cost, _ in weights))


def byte_costs(size_bytes: int, found: Dependencies, groups: Sequence[Group]) -> Costs:
    """Return the size in bytes of a model file as a function of the kept channels.

    Args:
        size_bytes: size of the unpruned file.
        found: the channel dependencies of the model.
        groups: the groups that may lose channels.
    """
    axes: dict[tuple[int, int], npt.NDArray[np.int64]] = {}
    sizes: dict[int, int] = {}
    for place in found.places:
        data = place.tensor.data
        if data is not None:
            memory = data.__array_interface__["data"][0]
            axes[memory, place.axis] = place.channels
            sizes[memory] = data.nbytes
    weights = [
        (float(size), [c for (m, _), c in axes.items() if m == memory]) for memory, size in sizes.items()
    ]
    return Costs(_counted(groups, found), weights, size_bytes - sum(cost for cost, _ in weights))


def _counted(groups: Sequence[Group], found: Dependencies) -> Sequence[Group]:
    """The given groups, checked to belong to these dependencies."""
    assert all(g in found.groups for g in groups)  # noqa: S101 - numbers of another graph mean nothing
    return groups

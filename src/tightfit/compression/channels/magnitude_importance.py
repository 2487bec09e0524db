"""Rankings of the channels of a group, and the magnitude importance.

A ``Ranking`` is an order and a curve: the loss after the first k channels of the order are removed. Magnitude
needs the weights only; ``reconstruction_importance`` and ``taylor_importance`` need samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tightfit.compression.channels.channel_groups import Dependencies, Group
from tightfit.compression.channels.channel_trace import SUMMED
from tightfit.graph.ops.macs import WEIGHTS
from tightfit.types import Array

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """The order in which channels of a group are removed.

    Args:
        order: channel numbers, the least important first, (n,).
        losses: loss after the first k channels are removed, for k = 0 … n, (n + 1,).
    """

    order: npt.NDArray[np.int64]
    losses: Vector

    def scaled(self, factor: float) -> Ranking:
        """Return the ranking with all losses multiplied by a factor."""
        return Ranking(self.order, self.losses * factor)


def ranking_of(channels: npt.NDArray[np.int64], scores: Vector) -> Ranking:
    """Return the ranking by one score for each channel; losses are the cumulated scores.

    Example:
        >>> ranking_of(np.array([4, 7, 9]), np.array([2.0, 1.0, 4.0])).order.tolist()
        [7, 4, 9]
    """
    order = np.argsort(scores, kind="stable")
    return Ranking(channels[order], np.concatenate([[0.0], np.cumsum(scores[order])]))


def rank_by_magnitude(found: Dependencies, groups: Sequence[Group]) -> dict[Group, Ranking]:
    """Return rankings by the squared norm of the filters that make a channel, as a fraction of its layer's.

    Source: Li et al. 2017, "Pruning Filters for Efficient ConvNets". Departure: squared norms instead of
    absolute values; as fractions of the layer's energy they are comparable between layers.
    """
    scores = per_channel(found, lambda values: values * values)
    return {g: ranking_of(g.channels, _shares(scores, g)) for g in groups}


def _shares(scores: Mapping[int, Vector], group: Group) -> Vector:
    """The mean over the group's tensors of each channel's fraction of the tensor."""
    return np.array([scores[int(c)].mean() if int(c) in scores else 0.0 for c in group.channels])


def per_channel(found: Dependencies, measure: Callable[[Array], Array]) -> dict[int, Vector]:
    """Return channel → its fraction of ``measure`` in each weight tensor that makes or carries it."""
    collected: dict[int, list[float]] = {}
    for place in found.places:
        weight = place.position in WEIGHTS.get(place.op.kind, ())
        if not weight or place.role == SUMMED or place.tensor.data is None:
            continue
        values = measure(np.asarray(place.tensor.data, np.float64))
        rest = tuple(a for a in range(values.ndim) if a != place.axis)
        sums = values.sum(rest)
        for channel, share in zip(place.channels.tolist(), sums / max(sums.sum(), 1e-30), strict=True):
            collected.setdefault(channel, []).append(share)
    return {c: np.array(v) for c, v in collected.items()}

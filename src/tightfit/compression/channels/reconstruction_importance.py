"""Rank channels by the reconstruction error of their readers after the other weights are refitted.

For a reader with weights W, input moments H = E[x̃ x̃ᵀ] and removed channels S, the best other weights leave
the error

    ΔL_S = tr(W_S · [(H⁻¹)_SS]⁻¹ · W_Sᵀ),

as a fraction of the variance of its output. Channels are removed a few at a time, the least loss first; H⁻¹
and W are updated after each removal.

Source: Hassibi and Stork 1993, "Second order derivatives for network pruning: Optimal Brain Surgeon", on the
output of a layer. Departures: whole channels, summed over all readers; up to one in 48 of them at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.channels.channel_groups import Group
from tightfit.compression.channels.channel_moments import Matrix, Reader, damping, rows, weights_of
from tightfit.compression.channels.magnitude_importance import Ranking
from tightfit.graph.ir import Op
from tightfit.streaming.moments import Moments

_STEPS: Final = 48


def rank_by_reconstruction(
    groups: Sequence[Group],
    readers: Sequence[Reader],
    moments: Mapping[Op, Moments],
    fallback: Mapping[Group, Ranking],
) -> dict[Group, Ranking]:
    """Return rankings by reconstruction error.

    Args:
        groups: the groups to rank.
        readers: the layers that sum over channels.
        moments: reader's op → second moments of its input.
        fallback: the rankings of groups without a reader with moments.
    """
    ranked = {}
    for group in groups:
        own = [r for r in readers if r.op in group.readers and r.op in moments]
        states = [_State(r, moments[r.op].mean(), sum(moments[r.op].rows)) for r in own]
        ranked[group] = _rank(group, states) if states else fallback[group]
    return ranked


class _State:
    """One reader during the removal: its kept columns, their weights and the inverse of their moments."""

    def __init__(self, reader: Reader, mean: Matrix, count: int) -> None:
        self.columns = reader.columns
        weights = rows(np.asarray(weights_of(reader.op).data), reader.op.kind)
        # The refitted bias compensates for means: central moments are those with the bias fitted.
        centred = mean[:-1, :-1] - np.outer(mean[:-1, -1], mean[-1, :-1])
        self.power = max(float(np.sum((weights @ centred) * weights)), 1e-30)
        self.inverse = np.linalg.inv(centred + damping(centred, count))
        self.weights = weights

    def scores(self, channels: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return the loss of removing each channel alone, as a fraction of the output's variance."""
        order = np.argsort(self.columns, kind="stable")
        first, last = (np.searchsorted(self.columns[order], channels, side) for side in ("left", "right"))
        places = [order[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        if (last - first == 1).all():
            flat = order[first]
            energy = np.square(self.weights[:, flat]).sum(0)
            return np.asarray(energy / self.inverse[flat, flat] / self.power)
        return np.array([self._loss(p) for p in places]) / self.power

    def _loss(self, place: npt.NDArray[np.int64]) -> float:
        if not place.size:
            return 0.0
        part = self.weights[:, place]
        block = self.inverse[np.ix_(place, place)]
        return float(np.sum(part.T * np.linalg.solve(block, part.T)))

    def remove(self, channels: Sequence[int]) -> float:
        """Return the loss of removing channels after the other weights are refitted."""
        gone = np.isin(self.columns, list(channels))
        place, rest = np.flatnonzero(gone), np.flatnonzero(~gone)
        if not place.size:
            return 0.0
        loss = self._loss(place) / self.power
        moved = np.linalg.solve(self.inverse[np.ix_(place, place)], self.inverse[np.ix_(place, rest)])
        self.weights = self.weights[:, rest] - self.weights[:, place] @ moved
        self.inverse = self.inverse[np.ix_(rest, rest)] - self.inverse[np.ix_(rest, place)] @ moved
        self.columns = self.columns[rest]
        return loss


def _rank(group: Group, states: Sequence[_State]) -> Ranking:
    left = group.channels.tolist()
    order: list[int] = []
    losses = [0.0]
    step = max(1, len(left) // _STEPS)
    while left:
        scores = np.sum([s.scores(left) for s in states], axis=0)
        chosen = [left[i] for i in np.argsort(scores, kind="stable")[:step]]
        lost = sum(s.remove(chosen) for s in states)
        losses += list(losses[-1] + max(lost, 0.0) * np.arange(1, len(chosen) + 1) / len(chosen))
        order += chosen
        gone = set(chosen)
        left = [c for c in left if c not in gone]
    return Ranking(np.array(order, np.int64), np.array(losses))

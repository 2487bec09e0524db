"""What a graph costs as a function of how many channels each group keeps: MACs and bytes of constants.

A weight's share that stays is the product over its axes of the share of channels that stays there, and
multiply–accumulates follow the weights:

    cost(n) = Σ_w cost_w · Π_axis Σ_g n_g · m_axis,g / size_axis

with n_g the channels that group g keeps and m how often one of them stands on the axis.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tightfit.compression.channels.channel_groups import Dependencies, Group
from tightfit.graph.ir import Model
from tightfit.graph.macs import WEIGHTS, macs

Vector = npt.NDArray[np.float64]


class Costs:
    """The cost of a graph for any number of channels a group keeps.

    Args:
        groups: those that may lose channels. weights: what each costs whole, and the channels along each of
            its axes. fixed: what does not depend on them.
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
        # Share of each axis that stays = constant + shares · kept; axes that are missing stay whole.
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
        """Gives the cost when each group keeps so many channels."""
        stays = self.constant + self.shares @ kept
        return float(self.fixed + self.amounts @ stays.prod(0))

    def savings(self, kept: npt.NDArray[np.int64]) -> Vector:
        """Gives what the next channel of each group saves."""
        stays = self.constant + self.shares @ kept
        rest = np.zeros(self.shares.shape[1:])
        for axis in range(stays.shape[0]):
            others = np.delete(stays, axis, 0).prod(0)
            rest += self.shares[axis] * others[:, None]
        return np.asarray(self.amounts @ rest, np.float64)


def mac_costs(model: Model, found: Dependencies, groups: Sequence[Group]) -> Costs:
    """Gives the multiply–accumulates of the main graph."""
    axes = defaultdict(list)
    for place in found.places:
        if place.position in WEIGHTS.get(place.op.kind, ()):
            axes[place.op].append(place.channels)
    total = sum(macs(op) for op in model.main.ops)
    weights = [(float(macs(op)), several) for op, several in axes.items()]
    return Costs(_counted(groups, found), weights, total - sum(cost for cost, _ in weights))


def byte_costs(size_bytes: int, found: Dependencies, groups: Sequence[Group]) -> Costs:
    """Gives the bytes of a file whose constants are cut; what is not cut stays as it is."""
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
    """The groups, checked to be of these dependencies."""
    assert all(g in found.groups for g in groups)  # noqa: S101 - numbers of another graph mean nothing
    return groups

"""The dependency graph of channels: groups of channels that are kept or removed together.

For debugging, ``channel_pruning.describe`` returns every group as plain data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tightfit.compression.channels.channel_rules import follow
from tightfit.compression.channels.channel_trace import MADE, SUMMED, ChannelLabel, Trace, TracePlace
from tightfit.compression.channels.channel_union import Channels
from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.ops.macs import WEIGHTS, macs
from tightfit.graph.passes.constant_folding import kept_tensors


@dataclass(frozen=True, eq=False)
class Group:
    """Interchangeable channels: each occurs in the same tensors, and any of them may be removed.

    Args:
        name: name of the first op that makes the channels.
        channels: channel numbers, (n,).
        makers: ops that make the channels.
        readers: ops that sum over the channels.
        tensors: the (tensor, axis) pairs in which the channels occur.
        macs: multiply–accumulates of all ops with the channels on an axis of their weights.
        reason: why no channel may be removed, or None.
    """

    name: str
    channels: Channels
    makers: tuple[Op, ...]
    readers: tuple[Op, ...]
    tensors: tuple[tuple[Tensor, int], ...]
    macs: int
    reason: str | None

    def __len__(self) -> int:
        return self.channels.size

    def to_json(self) -> dict[str, Any]:
        """Return the group as plain data."""
        return {
            "name": self.name,
            "channels": len(self),
            "macs": self.macs,
            "made_by": [op.name for op in self.makers],
            "summed_by": [op.name for op in self.readers],
            "tensors": [{"name": t.name, "axis": axis} for t, axis in self.tensors],
            "frozen": self.reason,
        }


@dataclass(frozen=True, eq=False)
class Dependencies:
    """The result of ``find_dependencies``.

    Args:
        labels: activation → its channels, each by the root number of its set.
        places: the axes of constants that hold channels, each by the root number of its set.
        groups: all groups, in the order of the graph.
        size: number of channels; channel numbers are smaller.
    """

    labels: dict[Tensor, ChannelLabel]
    places: list[TracePlace]
    groups: list[Group]
    size: int

    def removable(self) -> list[Group]:
        """Return the groups of which channels may be removed."""
        return [g for g in self.groups if g.reason is None and len(g) > 1 and g.readers]


def find_dependencies(model: Model) -> Dependencies:
    """Trace the channels of the main graph from op to op, and group those that depend on each other.

    Args:
        model: a cleaned float model; it is not changed.

    Returns:
        The labels, the constant axes and the groups.
    """
    graph, trace = model.main, Trace()
    for op in graph.ops:
        follow(trace, op)
    for tensor in kept_tensors(model, graph):
        if tensor in trace.labels:
            trace.sets.freeze(
                trace.labels[tensor].channels, f"they are in '{tensor.name}', an input or output of the model"
            )
    _unite_shared(trace)
    _freeze_partial_uses(trace)
    roots = trace.sets.roots()
    reasons = trace.sets.reasons(roots)
    labels = {t: ChannelLabel(la.axis, roots[la.channels]) for t, la in trace.labels.items()}
    places = [TracePlace(p.op, p.position, p.tensor, p.axis, roots[p.channels], p.role) for p in trace.places]
    return Dependencies(labels, places, _groups(labels, places, reasons), int(roots.size))


def _unite_shared(trace: Trace) -> None:
    """Unite the channels of all uses of a shared constant, which can be cut only once."""
    uses: dict[tuple[Tensor, int], list[TracePlace]] = defaultdict(list)
    for place in trace.places:
        uses[place.tensor, place.axis].append(place)
    for several in uses.values():
        for place in several[1:]:
            trace.sets.unite(several[0].channels, place.channels)


def _freeze_partial_uses(trace: Trace) -> None:
    """Freeze the channels of a constant that one op could cut and another needs whole."""
    axes: dict[tuple[Tensor, int, int], set[int]] = defaultdict(set)
    for place in trace.places:
        axes[place.tensor, id(place.op), place.position].add(place.axis)
    for place in trace.places:
        for reader, position in place.tensor.consumers:
            if place.axis not in axes[place.tensor, id(reader), position]:
                trace.sets.freeze(
                    place.channels, f"{reader.kind} '{reader.name}' needs all of '{place.tensor.name}'"
                )


def _groups(
    labels: dict[Tensor, ChannelLabel], places: list[TracePlace], reasons: dict[int, str]
) -> list[Group]:
    """Group the channels that occur in the same tensors and constants and have the same reason to be kept."""
    spots: dict[int, list[Any]] = defaultdict(list)
    for key, channels in _spots(labels, places):
        for channel in np.unique(channels).tolist():
            spots[channel].append(key)
    members: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for channel in sorted(spots):
        members[(*spots[channel], reasons.get(channel))].append(channel)
    return [_group(channels, key, labels, places) for key, channels in members.items()]


def _spots(labels: dict[Tensor, ChannelLabel], places: list[TracePlace]) -> Iterable[tuple[Any, Channels]]:
    for tensor, label in labels.items():
        yield tensor, label.channels
    for index, place in enumerate(places):
        yield index, place.channels


def _group(
    channels: list[int], key: tuple[Any, ...], labels: dict[Tensor, ChannelLabel], places: list[TracePlace]
) -> Group:
    *spots, reason = key
    own = [places[i] for i in spots if isinstance(i, int)]
    tensors = tuple((t, labels[t].axis) for t in spots if isinstance(t, Tensor))
    makers = tuple(dict.fromkeys(p.op for p in own if p.role == MADE))
    readers = tuple(dict.fromkeys(p.op for p in own if p.role == SUMMED))
    weighty = {p.op for p in own if p.position in WEIGHTS.get(p.op.kind, ())}
    first = makers[0].name if makers else tensors[0][0].name if tensors else own[0].op.name
    total = sum(macs(op) for op in weighty)
    return Group(first, np.array(channels, np.int64), makers, readers, tensors, total, reason)

"""Mixed activations: choose the cheapest set of ops to compute wider than int8 within an allowed noise.

An activation is int8 when the op that computes it or the op that reads it is. Widening one of the two gains
nothing, so both are widened together; the pair with the most noise for its cost is first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tightfit.graph.ir import Graph
from tightfit.graph.macs import macs
from tightfit.recovery.activations.activation_noise import EdgeNoise

_OVERHEAD = 0.1
"""Cost of all ops beside their multiply–accumulates, as a fraction of these, in equal parts."""


@dataclass(frozen=True)
class Widened:
    """The ops to compute wider than int8.

    Args:
        ops: names of the ops, those with the most gain first.
        noise_before: predicted noise before, as a fraction of the outputs' power.
        noise_after: predicted noise after, as a fraction of the outputs' power.
        cost: their fraction of the model's cost (``op_costs``), 0–1.
    """

    ops: tuple[str, ...]
    noise_before: float
    noise_after: float
    cost: float


def op_costs(graph: Graph) -> dict[str, float]:
    """Return each op's fraction of the model's cost: its multiply–accumulates, plus a small constant.

    Example:
        >>> op_costs(Graph())
        {}
    """
    total = sum(macs(op) for op in graph.ops)
    own = _OVERHEAD / max(len(graph.ops), 1)
    return {op.name: (macs(op) / max(total, 1) + own) / (1 + _OVERHEAD) for op in graph.ops}


def choose_wider(
    edges: Sequence[EdgeNoise], costs: Mapping[str, float], allowed: float, most: float = math.inf
) -> Widened:
    """Return the ops to widen, greedily by removed noise per cost, until the remaining noise is allowed.

    Args:
        edges: the noise of each edge.
        costs: op name → fraction of the model's cost.
        allowed: allowed noise, as a fraction of the outputs' power.
        most: largest cost of all ops together; more noise remains where that ends it.

    Args:
        edges: what each value costs in int8. costs: of each op. allowed: noise that may be left.
        most: what all ops together may cost; the noise that is left is larger where that ends it.

    Example:
        >>> from tightfit.recovery.activations.switchable_rounding import Edge
        >>> loud = EdgeNoise(Edge("norm", "dense", 0), 0.5)
        >>> quiet = EdgeNoise(Edge("dense", "gelu", 0), 0.001)
        >>> choose_wider([loud, quiet], {"norm": 0.1, "dense": 0.8, "gelu": 0.1}, 0.01).ops
        ('norm', 'dense')
    """
    left = {i: e for i, e in enumerate(edges) if e.noise > 0}
    before = noise = sum(e.noise for e in left.values())
    wide: dict[str, None] = {}
    while noise > allowed and left:
        # What goes once both ends of a value are wide, by the ends that still are not.
        waiting: dict[frozenset[str], float] = {}
        for edge in left.values():
            ends = frozenset(_both(edge, wide))
            waiting[ends] = waiting.get(ends, 0.0) + edge.noise
        spare = most - sum(costs.get(op, 0.0) for op in wide)
        fitting = [ops for ops in (_both(e, wide) for e in left.values()) if _cost(ops, costs) <= spare]
        if not fitting:
            break
        added = max(fitting, key=lambda ops: _worth(ops, waiting, costs))
        wide.update(dict.fromkeys(added))
        left = {i: e for i, e in left.items() if _both(e, wide)}
        noise = sum(e.noise for e in left.values())
    return Widened(tuple(wide), before, noise, sum(costs.get(op, 0.0) for op in wide))


def _both(edge: EdgeNoise, wide: Mapping[str, None]) -> tuple[str, ...]:
    """The producer and the reader of an activation, without those that are widened already."""
    return tuple(op for op in (edge.edge.source, edge.edge.reader) if op and op not in wide)


def _worth(
    added: Sequence[str], waiting: Mapping[frozenset[str], float], costs: Mapping[str, float]
) -> float:
    """Noise that goes with these ops, for their cost."""
    parts = {frozenset(added), *(frozenset((op,)) for op in added)}
    gained = sum(waiting.get(part, 0.0) for part in parts)
    return gained / max(_cost(added, costs), 1e-9)


def _cost(ops: Sequence[str], costs: Mapping[str, float]) -> float:
    return sum(costs.get(op, 0.0) for op in ops)

"""Mixed activations: choose the cheapest set of ops to compute wider than int8 within an allowed noise.

An activation is int8 when the op that computes it or the op that reads it is. Widening one of the two gains
nothing, so the set is chosen as a whole, by an integer program.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tightfit.graph.ir import Graph
from tightfit.graph.ops.macs import macs
from tightfit.recovery.activations.activation_noise import EdgeNoise
from tightfit.recovery.exact_choice import GainTable, PrecisionOption, SharedNoise, choose_options

_OVERHEAD = 0.1
"""Cost of all ops beside their multiply–accumulates, as a fraction of these, in equal parts."""


@dataclass(frozen=True)
class Widened:
    """The ops to compute wider than int8.

    Args:
        ops: names of the ops, in the order of the edges.
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
    """Return the cheapest ops to widen so that the remaining noise is allowed (``exact_choice``).

    Args:
        edges: the noise of each edge.
        costs: op name → fraction of the model's cost.
        allowed: allowed noise, as a fraction of the outputs' power.
        most: largest cost of all ops together; where no choice is allowed within it, the one with the least
            noise is returned.

    Example:
        >>> from tightfit.recovery.activations.switchable_rounding import Edge
        >>> loud = EdgeNoise(Edge("norm", "dense", 0), 0.5)
        >>> quiet = EdgeNoise(Edge("dense", "gelu", 0), 0.001)
        >>> choose_wider([loud, quiet], {"norm": 0.1, "dense": 0.8, "gelu": 0.1}, 0.01).ops
        ('norm', 'dense')
    """
    noisy = [e for e in edges if e.noise > 0]
    before = sum(e.noise for e in noisy)
    if before <= allowed:
        return Widened((), before, before, 0.0)
    shared = [SharedNoise(e.edge.source or None, e.edge.reader or None, e.noise) for e in noisy]
    ops = dict.fromkeys(end for s in shared for end in (s.source, s.reader) if end is not None)
    narrow = PrecisionOption("int8")
    table = GainTable(
        {op: (narrow, PrecisionOption("wider", cost=costs.get(op, 0.0), wide=True)) for op in ops}, shared
    )
    found = choose_options(table, "cost", {"noise": allowed, "cost": most})
    if found is None:
        found = choose_options(table, "noise", {"cost": max(most, 0.0)}) or dict.fromkeys(ops, narrow)
    wide = tuple(op for op, option in found.items() if option.wide)
    return Widened(wide, before, table.total(found, "noise"), table.total(found, "cost"))

"""Layers in front of a tail that leave int8, the last first, as far as the device's share of work allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tightfit.graph.ir import Model, Op
from tightfit.graph.ops.macs import macs
from tightfit.quantization.scheme import INT16X8
from tightfit.recovery.slices.tails import Tail, find_tail

_FLOAT: Final = "weight8"
"""Float activations; weights stay int8 in the file."""

_MOST_STEPS: Final = 12


@dataclass(frozen=True)
class Deepening:
    """How far one may go.

    Args:
        float_macs: share of the multiply–accumulates that may become float.
        int16: further ones may have int16 activations.
    """

    float_macs: float
    int16: bool


@dataclass(frozen=True)
class Step:
    """The ops that leave int8, all from the tail up to here, and the scheme that they get."""

    ops: tuple[Op, ...]
    scheme: str


def layers_before(model: Model, tail: Tail, limits: Deepening) -> Iterator[Step]:
    """Give steps that each take one more layer, first to float, then, where that is too much, to int16."""
    graph = model.main
    total = max(sum(macs(op) for op in graph.ops), 1)
    taken: dict[Op, None] = {}
    front = list(tail.heads)
    stages: list[tuple[Op, ...]] = []
    for _ in range(_MOST_STEPS):
        layer = {t.producer: None for t in front if t.producer is not None and t.producer not in taken}
        if not layer:
            break
        taken |= layer
        behind = [t for op in layer for t in op.inputs if t is not None and t.producer is not None]
        more = find_tail(graph, behind)
        taken |= dict.fromkeys(more.ops)
        front = [t for t in more.heads if t.producer not in taken]
        stages.append(tuple(taken))
    affordable = [s for s in stages if sum(macs(op) for op in s) <= limits.float_macs * total]
    yield from (Step(ops, _FLOAT) for ops in affordable)
    if limits.int16:
        yield from (Step(ops, INT16X8.name) for ops in stages if ops not in affordable)

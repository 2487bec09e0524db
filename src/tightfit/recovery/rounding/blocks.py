"""A graph in blocks: runs of ops whose results are kept together, cut where little flows on.

A residual block is cut whole: inside of it two tensors are alive, around it one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from tightfit.graph.copying import copy_part
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.quantization.plan import GraphPlan, Plan

MOST_LAYERS: Final = 3
"""A bottleneck has three; more at once would learn few samples by heart."""


@dataclass(frozen=True)
class Block:
    """Ops ``start`` to before ``end`` of a graph."""

    start: int
    end: int

    def inputs(self, graph: Graph) -> list[Tensor]:
        """Return what the ops read of others, constants left out."""
        ops = graph.ops[self.start : self.end]
        made = {t for op in ops for t in op.outputs}
        read = dict.fromkeys(t for op in ops for t in op.inputs if t is not None and not t.is_constant)
        return [t for t in read if t not in made]

    def outputs(self, graph: Graph) -> list[Tensor]:
        """Return the floats that others read of the ops, and the graph's own outputs."""
        ops = graph.ops[self.start : self.end]
        inside = set(ops)
        made = [t for op in ops for t in op.outputs if t.dtype == "float32"]
        return [t for t in made if t in graph.outputs or any(r not in inside for r, _ in t.consumers)]


def blocks_of(graph: Graph, layers: Iterable[Op]) -> list[Block]:
    """Return blocks of one to ``MOST_LAYERS`` layers each, in order; the last ends with the last layer.

    Of the places where a block may end, the one with the fewest living tensors is taken, the last of equals.

    Args:
        layers: the ops whose weights are to be learned.
    """
    wanted = set(layers)
    places = [i for i, op in enumerate(graph.ops) if op in wanted]
    alive = _living(graph)
    blocks = []
    start = 0
    while places:
        few = places[:MOST_LAYERS]
        stop = places[MOST_LAYERS] if len(places) > MOST_LAYERS else places[-1] + 1
        end = min(range(few[0] + 1, stop + 1), key=lambda e: (alive[e], -e))
        blocks.append(Block(start, end))
        places = [p for p in places if p >= end]
        start = end
    return blocks


def _living(graph: Graph) -> list[int]:
    """How many activations are made before each op and read from it on; the last entry is of the end."""
    births = dict.fromkeys(graph.inputs, 0)
    births |= {t: i + 1 for i, op in enumerate(graph.ops) for t in op.outputs}
    deaths = {t: i for i, op in enumerate(graph.ops) for t in op.inputs if t is not None}
    deaths |= {t: len(graph.ops) for t in graph.outputs}
    return [
        sum(born <= i <= deaths.get(t, -1) for t, born in births.items()) for i in range(len(graph.ops) + 1)
    ]


def cut(model: Model, plan: Plan, block: Block) -> tuple[Model, Plan]:
    """Return a block as a model of its own with its part of the plan; its ends are float.

    The names of inputs and outputs are ``in0``, ``in1`` … and ``out0``, ``out1`` …, in the block's order.
    """
    graph = model.main
    inputs, outputs = block.inputs(graph), block.outputs(graph)
    part, mapping = copy_part(graph.ops[block.start : block.end], inputs, outputs)
    fed = {f"in{i}": mapping[t] for i, t in enumerate(inputs)}
    given = {f"out{i}": mapping[t] for i, t in enumerate(outputs)}
    decisions = plan.graphs[0]
    keys, own = graph.keys(), part.keys()
    tensors = {own[mapping[t]]: decisions.tensors[keys[t]] for t in mapping if keys[t] in decisions.tensors}
    chosen = GraphPlan(decisions.ops[block.start : block.end], tensors)
    return Model([part], [Signature("block", fed, given)]), replace(plan, graphs=[chosen])

"""Split a graph into blocks of consecutive ops, at positions where few activations are live.

A residual block is not split: inside of it two tensors are live, at its ends one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from tightfit.graph.copying import copy_part
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.quantization.plan import GraphPlan, Plan

MOST_LAYERS: Final = 3
"""A bottleneck block has three layers; more at once would overfit few samples."""


@dataclass(frozen=True)
class Block:
    """Ops ``start`` to before ``end`` of a graph."""

    start: int
    end: int

    def inputs(self, graph: Graph) -> list[Tensor]:
        """Return the activations that the ops read from other ops, without constants."""
        ops = graph.ops[self.start : self.end]
        made = {t for op in ops for t in op.outputs}
        read = dict.fromkeys(t for op in ops for t in op.inputs if t is not None and not t.is_constant)
        return [t for t in read if t not in made]

    def outputs(self, graph: Graph) -> list[Tensor]:
        """Return the float tensors of the block that other ops read or that are outputs of the graph."""
        ops = graph.ops[self.start : self.end]
        inside = set(ops)
        made = [t for op in ops for t in op.outputs if t.dtype == "float32"]
        return [t for t in made if t in graph.outputs or any(r not in inside for r, _ in t.consumers)]


def blocks_of(graph: Graph, layers: Iterable[Op]) -> list[Block]:
    """Return blocks of one to ``MOST_LAYERS`` layers each, in order; the last block ends with the last layer.

    A block ends at the position with the fewest live tensors, at the last of equals.

    Args:
        graph: the graph to split.
        layers: the ops whose weights are learned.
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
    """The number of live activations before each op, and after the last op."""
    births = dict.fromkeys(graph.inputs, 0)
    births |= {t: i + 1 for i, op in enumerate(graph.ops) for t in op.outputs}
    deaths = {t: i for i, op in enumerate(graph.ops) for t in op.inputs if t is not None}
    deaths |= {t: len(graph.ops) for t in graph.outputs}
    return [
        sum(born <= i <= deaths.get(t, -1) for t, born in births.items()) for i in range(len(graph.ops) + 1)
    ]


def cut(model: Model, plan: Plan, block: Block) -> tuple[Model, Plan]:
    """Return a block as a model of its own, with its part of the plan; its inputs and outputs are float.

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

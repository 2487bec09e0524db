"""The points where the integer kernels round, found from a ``GraphPlan``.

A point is a set of values on one grid: the tensors, constants and requantized copies that same-scale ops
join. Points are found from the op table and not from equal scales: two RELU6 outputs have equal ranges after
calibration, but each learns its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.quantization.ops.rule_lookup import (
    find_rule,
    fixed_output,
    only_moves,
    real_inputs,
    real_outputs,
)
from tightfit.quantization.plan import INTEGER, GraphPlan, OpPlan, Storage

Use = tuple[int, int]
Node = tuple[Tensor, str] | Use
"""A (tensor, type), or an (op index, input position)."""

_COMPUTES: Final = frozenset({"AVERAGE_POOL_2D", "RESIZE_BILINEAR"})
"""Same-scale ops that compute new values, which their kernels round."""


@dataclass(eq=False)
class Point:
    """Values on one grid.

    Args:
        name: name of the first value.
        storage: their storage in the plan.
        fixed: whether a kernel fixes the scale.
        given: whether all values are those of the model's inputs.
    """

    name: str
    storage: Storage
    fixed: bool = False
    given: bool = False


@dataclass
class QuantizationPoints:
    """The points of one graph.

    Args:
        inputs: (op index, input position) → point of the value that an integer op reads.
        outputs: (op index, output position) → point of the value that it writes.
        entries: graph input → its point in a file with an integer interface.
        exits: graph output → its point in a file with an integer interface.
        moved: indices of the ops whose outputs are on their grid already.
    """

    inputs: dict[Use, Point] = field(default_factory=dict)
    outputs: dict[Use, Point] = field(default_factory=dict)
    entries: dict[Tensor, Point] = field(default_factory=dict)
    exits: dict[Tensor, Point] = field(default_factory=dict)
    moved: set[int] = field(default_factory=set)

    def all(self) -> list[Point]:
        """Return every point once, in the order of the graph."""
        groups = (self.entries, self.inputs, self.outputs, self.exits)
        return list(dict.fromkeys(point for group in groups for point in group.values()))


def find_points(graph: Graph, plan: GraphPlan) -> QuantizationPoints:
    """Return the points of a graph under its plan."""
    return _PointSearch(graph, plan).run()


class _PointSearch:
    """Union–find over the values with a storage in the plan."""

    def __init__(self, graph: Graph, plan: GraphPlan) -> None:
        self.graph, self.plan = graph, plan
        self.keys = graph.keys()
        self.parent: dict[Node, Node] = {}
        self.storages: dict[Node, Storage] = {}
        self.fixed: set[Node] = set()
        self.reads: dict[Use, Node] = {}
        self.writes: dict[Use, Node] = {}

    def run(self) -> QuantizationPoints:
        pairs = list(enumerate(zip(self.graph.ops, self.plan.ops, strict=True)))
        for index, (op, decision) in pairs:
            if decision.mode == INTEGER and decision.dtype is not None:
                self.add(index, op, decision)
        made: dict[Node, Point] = {}
        points = QuantizationPoints(
            {use: self.point(n, made) for use, n in self.reads.items()},
            {use: self.point(n, made) for use, n in self.writes.items()},
        )
        points.entries = self.ends(self.graph.inputs, made)
        points.exits = self.ends(self.graph.outputs, made)
        points.moved = {i for i, (op, _) in pairs if self.is_moved(i, op, points)}
        return points

    def add(self, index: int, op: Op, decision: OpPlan) -> None:
        """Add the tensors that one integer op reads and writes, and tie those that must share a grid."""
        rule = find_rule(op.kind)
        dtype = decision.dtype or "int8"
        assert rule is not None  # noqa: S101 - a plan has integer ops of the table only
        for position, tensor in real_inputs(op, rule):
            self.reads[index, position] = self.read(index, position, tensor, decision)
        for position, tensor in real_outputs(op, rule):
            node = self.held(tensor, dtype)
            self.writes[index, position] = node
            if fixed_output(op, dtype):
                self.fixed.add(node)
        inputs = {i: self.reads[index, i] for i, _ in real_inputs(op, rule)}
        outputs = [self.writes[index, i] for i, _ in real_outputs(op, rule)]
        tied = set(inputs) if -1 in rule.same_scale else set(inputs) & set(rule.same_scale)
        self.tie([*outputs, *(inputs[i] for i in tied)])
        self.tie([inputs[i] for i in rule.same_inputs if i in inputs])

    def read(self, index: int, position: int, tensor: Tensor, decision: OpPlan) -> Node:
        """Return the node that an op reads: a tensor, a requantized copy, or a constant."""
        own = decision.constants.get(position) or decision.inputs.get(position)
        if own is None:
            return self.held(tensor, decision.dtype or "int8")
        node = (index, position)
        self.parent[node] = node
        self.storages[node] = own
        return node

    def held(self, tensor: Tensor, dtype: str) -> Node:
        node = (tensor, dtype)
        if node not in self.parent:
            self.parent[node] = node
            self.storages[node] = self.plan.tensors[self.keys[tensor]][dtype]
        return node

    def tie(self, nodes: list[Node]) -> None:
        """Join nodes with equal storages in the plan."""
        for first, second in itertools.pairwise(nodes):
            if self.storages[first] == self.storages[second]:
                self.parent[self.root(second)] = self.root(first)

    def root(self, node: Node) -> Node:
        while self.parent[node] != node:
            node = self.parent[node]
        return node

    def point(self, node: Node, made: dict[Node, Point]) -> Point:
        root = self.root(node)
        if root not in made:
            members = [n for n in self.parent if self.root(n) == root]
            fixed = not self.fixed.isdisjoint(members)
            given = all(isinstance(owner, Tensor) and self.is_given(owner) for owner, _ in members)
            made[root] = Point(self.name(root), self.storages[root], fixed, given)
        return made[root]

    def is_given(self, tensor: Tensor) -> bool:
        """Return True for a graph input and for what data-movement ops copy from one."""
        op = tensor.producer
        if op is None or not only_moves(op):
            return tensor in self.graph.inputs
        return all(t is None or t.is_constant or self.is_given(t) for t in op.inputs)

    def name(self, node: Node) -> str:
        owner, which = node
        if isinstance(owner, Tensor):
            return f"{self.keys[owner]}:{which}"
        return f"{self.graph.ops[owner].name}:input{which}"

    def ends(self, tensors: Iterable[Tensor], made: dict[Node, Point]) -> dict[Tensor, Point]:
        """Return the inputs or outputs that are integers in the file."""
        found = {}
        for tensor in tensors:
            dtype = self.plan.interface.get(self.keys[tensor], "float32")
            if dtype != "float32":
                # uint8 is int8 shifted by 128: the same grid.
                node = self.held(tensor, "int8" if dtype == "uint8" else dtype)
                found[tensor] = self.point(node, made)
        return found

    def is_moved(self, index: int, op: Op, points: QuantizationPoints) -> bool:
        """Return True when an op only moves values that are on its output's grid already."""
        if op.kind in _COMPUTES or not only_moves(op):
            return False
        rule = find_rule(op.kind)
        reads = [points.inputs.get((index, i)) for i, _ in real_inputs(op, rule)]
        writes = [points.outputs.get((index, i)) for i, _ in real_outputs(op, rule)]
        return len({*reads, *writes}) == 1 and None not in reads

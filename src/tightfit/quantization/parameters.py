"""Scales and zero points: one decision for all tensors that a kernel wants on the same scale.

A node is an activation tensor held in an integer type. Ops that only move or select values demand one
scale for their inputs and outputs, so their nodes are joined; the group takes the union of its ranges, or
the scale that a kernel fixes (SOFTMAX: 1/256, −128). Where a fixed scale would spoil a group of others,
the op gets a requantized copy of that input instead.
"""

from __future__ import annotations

import numpy as np

from tightfit.errors import QuantizationError
from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.quantization.arithmetic import activation_parameters
from tightfit.quantization.modes import Context, real_inputs, real_outputs
from tightfit.quantization.op_rules import OpRule
from tightfit.quantization.plan import INTEGER, OpPlan, Storage
from tightfit.quantization.rules import find_rule, fixed_output, shared_inputs

Node = tuple[Tensor, str]
Fixed = tuple[float, int]


class Groups:
    """Nodes joined by ops that demand one scale (union–find), each group free or fixed.

    After ``build``, ``storage(node)`` gives the parameters and ``requantized`` the inputs that stay apart:
    (op, input position) → the storage that this op alone wants.
    """

    def __init__(self, graph: Graph, plans: list[OpPlan], context: Context) -> None:
        self.context = context
        self.parent: dict[Node, Node] = {}
        self.fixed: dict[Node, Fixed] = {}
        self.apart: list[tuple[Op, int, Node, Node]] = []
        self._storages: dict[Node, Storage] = {}
        for op, plan in zip(graph.ops, plans, strict=True):
            if plan.mode == INTEGER and plan.dtype is not None:
                self._add(op, plan.dtype)

    # -- building ------------------------------------------------------------------------------

    def _add(self, op: Op, dtype: str) -> None:
        rule = _rule(op)
        inputs = real_inputs(op, rule)
        outputs = [(t, dtype) for _, t in real_outputs(op, rule)]
        for node in [*((t, dtype) for _, t in inputs), *outputs]:
            self.parent.setdefault(node, node)
        fixed = fixed_output(op, dtype)
        if fixed:
            for node in outputs:
                self.fixed[self.find(node)] = fixed
        shared = shared_inputs(op, rule)
        if shared:
            self._join(op, [(i, (t, dtype)) for i, t in inputs if i in shared], outputs)
        if rule.same_inputs:
            self._join(op, [(i, (t, dtype)) for i, t in inputs if i in rule.same_inputs], [])

    def _join(self, op: Op, inputs: list[tuple[int, Node]], outputs: list[Node]) -> None:
        """Joins a same-scale op's nodes, keeping differently fixed inputs apart."""
        demands = {self.fixed.get(self.find(n)) for _, n in inputs}
        anchor = outputs[0] if outputs else inputs[0][1]
        for node in outputs:
            self._union(anchor, node)
        if len(demands) == 1:
            for _, node in inputs:
                self._union(anchor, node)
            return
        for position, node in inputs:
            if self.fixed.get(self.find(node)) is None:
                self._union(anchor, node)
            else:
                self.apart.append((op, position, node, anchor))

    def find(self, node: Node) -> Node:
        """The representative of a node's group."""
        while self.parent[node] != node:
            self.parent[node] = self.parent[self.parent[node]]
            node = self.parent[node]
        return node

    def _union(self, a: Node, b: Node) -> None:
        first, second = self.find(a), self.find(b)
        if first == second:
            return
        fixed = self.fixed.get(first) or self.fixed.get(second)
        self.parent[second] = first
        if fixed:
            self.fixed[first] = fixed

    # -- reading -------------------------------------------------------------------------------

    def resolve(self) -> dict[Node, Storage]:
        """Gives the storage of every node."""
        members: dict[Node, list[Node]] = {}
        for node in self.parent:
            members.setdefault(self.find(node), []).append(node)
        for root, nodes in members.items():
            storage = self._fixed_storage(root) or self._free_storage(nodes)
            self._storages.update(dict.fromkeys(nodes, storage))
        return self._storages

    def requantized(self) -> dict[tuple[Op, int], Storage]:
        """Gives the inputs that an op wants in another form than the tensor has."""
        wanted = ((op, i, n, self._storages[anchor]) for op, i, n, anchor in self.apart)
        return {(op, i): s for op, i, n, s in wanted if s != self._storages[n]}

    def _fixed_storage(self, root: Node) -> Storage | None:
        fixed = self.fixed.get(root)
        if fixed is None:
            return None
        return Storage(root[1], (float(np.float32(fixed[0])),), (fixed[1],), None, "fixed by the kernel")

    def _free_storage(self, nodes: list[Node]) -> Storage:
        limits = [self._range(node) for node in nodes]
        # A tensor that is kept apart still has to fit into the group that its op writes to.
        limits += [self._range(n) for _, _, n, anchor in self.apart if self.find(anchor) == self.find(nodes[0])]
        low, high = min(x for x, _ in limits), max(x for _, x in limits)
        dtype = nodes[0][1]
        scale, zero_point = activation_parameters(low, high, dtype)
        reason = "calibrated" if len(nodes) == 1 else f"shared by {len(nodes)} tensors"
        return Storage(dtype, (float(np.float32(scale)),), (zero_point,), None, reason, (low, high))

    def _range(self, node: Node) -> tuple[float, float]:
        tensor, dtype = node
        if tensor.data is not None:
            return float(tensor.data.min(initial=0.0)), float(tensor.data.max(initial=0.0))
        own = self._own_fixed(node)
        if own is not None:
            return own
        found = self.context.ranges.find(self.context.index, self.context.keys[tensor], dtype)
        if found is None:
            raise QuantizationError(f"The range of '{tensor.name}' was not calibrated.")
        return found

    @staticmethod
    def _own_fixed(node: Node) -> tuple[float, float] | None:
        """The range that a kernel's fixed output scale spans."""
        tensor, dtype = node
        if tensor.producer is None:
            return None
        fixed = fixed_output(tensor.producer, dtype)
        if fixed is None:
            return None
        scale, zero_point = fixed
        bottom, top = (-128, 127) if dtype == "int8" else (-32768, 32767)
        return scale * (bottom - zero_point), scale * (top - zero_point)


def _rule(op: Op) -> OpRule:
    rule = find_rule(op.kind)
    if rule is None:
        raise QuantizationError(f"{op!r} is planned on integers, but {op.kind} has no rule.")
    return rule

"""Scales and zero points: one decision for all values that a kernel wants on the same scale.

A node is a value held in an integer type: an activation, or one op's own copy of a constant. Ops that only
move or select values demand one scale for their inputs and outputs, so their nodes are joined; the group
takes the union of its ranges, or the scale that a kernel fixes (SOFTMAX: 1/256, -128). Where a fixed scale
would spoil a group of others, the op gets a requantized copy of that input instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tightfit.errors import QuantizationError
from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.quantization.arithmetic import activation_parameters, weight_scales
from tightfit.quantization.modes import Context
from tightfit.quantization.observers import Range
from tightfit.quantization.op_rules import OpRule, least_output_scale
from tightfit.quantization.plan import INTEGER, OpPlan, Storage
from tightfit.quantization.rules import (
    find_rule,
    fixed_output,
    real_inputs,
    real_outputs,
    shared_inputs,
    weight_of,
)

Fixed = tuple[float, int]

_SATURATES: Final = frozenset({"MAXIMUM", "MINIMUM"})
"""A constant operand outside of the others' range gives the same result at the end of that range."""

_PASSES: Final = 4
"""A scale that is raised can ask for another to be raised; chains longer than this do not occur."""


@dataclass(frozen=True)
class Node:
    """A value held in an integer type; ``use`` is the (op, input position) that a constant is held for."""

    tensor: Tensor
    dtype: str
    use: tuple[Op, int] | None = None


class Groups:
    """Nodes joined by ops that demand one scale (union-find), each group free or fixed.

    After ``resolve``, ``storage_of`` gives what an op reads, ``storages`` what tensors are held as.
    """

    def __init__(self, graph: Graph, plans: list[OpPlan], context: Context) -> None:
        self.context = context
        self.parent: dict[Node, Node] = {}
        self.fixed: dict[Node, Fixed] = {}
        self.apart: dict[tuple[Op, int], tuple[Node, Node]] = {}
        self.stretched: set[Node] = set()
        self.ops: dict[Op, tuple[OpRule, str]] = {}
        for op, plan in zip(graph.ops, plans, strict=True):
            rule = find_rule(op.kind)
            if plan.mode == INTEGER and plan.dtype is not None and rule is not None:
                self.ops[op] = rule, plan.dtype
                self._add(op, rule, plan.dtype)
        self._add_interface([*graph.inputs, *graph.outputs])
        self._storages: dict[Node, Storage] = {}

    # -- building ------------------------------------------------------------------------------

    def _add(self, op: Op, rule: OpRule, dtype: str) -> None:
        inputs = [(i, self._node(op, i, t, dtype)) for i, t in real_inputs(op, rule)]
        outputs = [Node(t, dtype) for _, t in real_outputs(op, rule)]
        for node in (*(n for _, n in inputs), *outputs):
            self.parent.setdefault(node, node)
        if op.kind in _SATURATES:
            self.stretched.update(n for _, n in inputs if n.use is not None)
        fixed = fixed_output(op, dtype)
        if fixed:
            self.fixed.update({self.find(node): fixed for node in outputs})
        shared = shared_inputs(op, rule)
        if shared:
            self._join(op, [(i, n) for i, n in inputs if i in shared], outputs)
        if rule.same_inputs:
            self._join(op, [(i, n) for i, n in inputs if i in rule.same_inputs], [])

    @staticmethod
    def _node(op: Op, position: int, tensor: Tensor, dtype: str) -> Node:
        # Converters share equal constants between ops, which must not tie the scales of these together.
        return Node(tensor, dtype, (op, position) if tensor.is_constant else None)

    def _add_interface(self, ends: list[Tensor]) -> None:
        """Inputs and outputs of an integer file are held in its type, even where no op reads them so."""
        interface = self.context.scheme.interface
        dtype = "int8" if interface == "uint8" else interface
        if dtype == "float32" or self.context.index != 0:
            return
        touched = {node.tensor for node in self.parent}
        for tensor in ends:
            if tensor in touched and self.context.range_of(tensor, dtype) is not None:
                self.parent.setdefault(Node(tensor, dtype), Node(tensor, dtype))

    def _join(self, op: Op, inputs: list[tuple[int, Node]], outputs: list[Node]) -> None:
        """Joins a same-scale op's nodes, keeping differently fixed inputs apart."""
        fixed = {f for _, n in inputs if (f := self.fixed.get(self.find(n)))}
        free = [n for _, n in inputs if self.find(n) not in self.fixed]
        one_scale = not fixed or (len(fixed) == 1 and all(self._fits(n, next(iter(fixed))) for n in free))
        anchor = next(iter([*outputs, *free, *(n for _, n in inputs)]))
        if not one_scale and self.find(anchor) in self.fixed:
            anchor = Node(Tensor(f"{op.name}/inputs", ()), anchor.dtype, (op, -1))
            self.parent[anchor] = anchor
        for node in outputs:
            self._union(anchor, node)
        for position, node in inputs:
            if one_scale or self.find(node) not in self.fixed:
                self._union(anchor, node)
            else:
                self.apart[op, position] = (node, anchor)

    def _fits(self, node: Node, fixed: Fixed) -> bool:
        """True for a constant that a fixed scale holds without clipping."""
        limits = self._range(node)
        if node.use is None or limits is None:
            return False
        scale, zero_point = fixed
        bottom, top = np.iinfo(node.dtype).min, np.iinfo(node.dtype).max
        return bool(scale * (bottom - zero_point) <= limits[0] and limits[1] <= scale * (top - zero_point))

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

    # -- deciding ------------------------------------------------------------------------------

    def resolve(self) -> None:
        """Decides the storage of every node."""
        members: dict[Node, list[Node]] = {}
        for node in self.parent:
            members.setdefault(self.find(node), []).append(node)
        for node, anchor in self.apart.values():
            # A value that is kept apart still has to fit into the group that its op writes to.
            members[self.find(anchor)].append(node)
        for root, nodes in members.items():
            self._storages[root] = self._fixed_storage(root) or self._free_storage(nodes)
        for _ in range(_PASSES):
            if sum(self._coarsen(op, *facts) for op, facts in self.ops.items()) == 0:
                break

    def _fixed_storage(self, root: Node) -> Storage | None:
        fixed = self.fixed.get(root)
        if fixed is None:
            return None
        return Storage(root.dtype, (float(np.float32(fixed[0])),), (fixed[1],), reason="fixed by the kernel")

    def _free_storage(self, nodes: list[Node]) -> Storage:
        limits = [r for n in nodes if n not in self.stretched and (r := self._range(n)) is not None]
        limits = limits or [r for n in nodes if (r := self._range(n)) is not None]
        low, high = min(x for x, _ in limits), max(x for _, x in limits)
        dtype = nodes[0].dtype
        scale, zero_point = activation_parameters(low, high, dtype)
        values = {node.tensor for node in nodes if node.use is None}
        reason = "calibrated" if values else "its values"
        if len(values) > 1:
            reason = f"shared by {len(values)} tensors"
        step = float(np.float32(scale))
        return Storage(dtype, (step,), (zero_point,), reason=reason, range=(low, high))

    def _range(self, node: Node) -> Range | None:
        """The values of a node; None for the form that only a comparison holds."""
        if node.use is not None and node.use[1] < 0:
            return None
        found = self.context.range_of(node.tensor, node.dtype)
        if found is None:
            raise QuantizationError(f"The range of '{node.tensor.name}' was not calibrated.")
        return found

    def _coarsen(self, op: Op, rule: OpRule, dtype: str) -> bool:
        """Raises the output's scale to the least that the kernel is right for; True when it had to."""
        scales = [s.scale[0] for i, _ in real_inputs(op, rule) if (s := self.storage_of(op, i))]
        scales += self._largest_weight_scale(op, rule)
        # Rounded up: with a float32 just below it the kernel's multiplier would be above its limit.
        least = float(np.nextafter(np.float32(least_output_scale(rule, dtype, scales)), np.float32(np.inf)))
        changed = False
        for root in {self.find(Node(t, dtype)) for _, t in real_outputs(op, rule)} - set(self.fixed):
            storage = self._storages[root]
            if storage.scale[0] < least:
                reason = f"{storage.reason}, coarser for the kernel of {op.kind}"
                self._storages[root] = replace(storage, scale=(least,), reason=reason)
                changed = True
        return changed

    def _largest_weight_scale(self, op: Op, rule: OpRule) -> list[float]:
        position = weight_of(op, rule)
        weights = None if position is None else op.inputs[position]
        if weights is None or weights.data is None:
            return []
        return [float(weight_scales(weights.data, None, self.context.scheme.weights)[0])]

    # -- reading -------------------------------------------------------------------------------

    def storage_of(self, op: Op, position: int) -> Storage | None:
        """What an integer op reads at an input position; None where that input carries no reals."""
        if (op, position) in self.apart:
            return self._storages[self.find(self.apart[op, position][1])]
        tensor = op.input(position)
        if tensor is None or op not in self.ops:
            return None
        return self._held(self._node(op, position, tensor, self.ops[op][1]))

    def _held(self, node: Node) -> Storage | None:
        return self._storages[self.find(node)] if node in self.parent else None

    def storages(self) -> Iterable[tuple[Tensor, Storage]]:
        """The storage of every activation, once for each type that it is held in."""
        return ((n.tensor, self._storages[self.find(n)]) for n in self.parent if n.use is None)

    def requantized(self) -> dict[tuple[Op, int], Storage]:
        """The inputs that an op wants in another form than the tensor is held in."""
        forms = {use: (self._held(node), self._held(anchor)) for use, (node, anchor) in self.apart.items()}
        return {use: wanted for use, (held, wanted) in forms.items() if wanted and wanted != held}

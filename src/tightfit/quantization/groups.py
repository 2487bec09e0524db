"""Groups of values that must have one scale, by union–find.

A node is a value in an integer type: an activation, or one op's own copy of a constant. Ops that only move or
select values require one scale for their inputs and outputs, so their nodes are joined. Some kernels fix the
scale of their output (SOFTMAX: 1/256, −128). Where that would reduce the resolution of other values, the op
reads a requantized copy of that input instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tightfit.errors import QuantizationError
from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.modes import Context
from tightfit.quantization.ops.op_rule import OpRule
from tightfit.quantization.ops.rule_lookup import (
    find_rule,
    fixed_output,
    real_inputs,
    real_outputs,
    shared_inputs,
)
from tightfit.quantization.plan import INTEGER, OpPlan

Fixed = tuple[float, int]

_SATURATES: Final = frozenset({"MAXIMUM", "MINIMUM"})
"""Ops for which a constant outside of the other operand's range may be clipped to that range."""


@dataclass(frozen=True)
class ScaleNode:
    """A value in an integer type.

    Args:
        tensor: the tensor.
        dtype: the integer type.
        use: for a constant, the (op, input position) that reads it; None for an activation.
    """

    tensor: Tensor
    dtype: str
    use: tuple[Op, int] | None = None


def node_of(op: Op, position: int, tensor: Tensor, dtype: str) -> ScaleNode:
    """Return the node that an integer op reads at an input position.

    Args:
        op: the op.
        position: the input position.
        tensor: the tensor there.
        dtype: the integer type of the op.
    """
    # Converters share equal constants between ops, which must not tie the scales of these together.
    return ScaleNode(tensor, dtype, (op, position) if tensor.is_constant else None)


class Groups:
    """Groups of nodes that must have one scale (union–find); the scale of a group is free or fixed.

    Attributes:
        ops: the integer ops with their rule and type.
        fixed: root of a group → (scale, zero point) that a kernel fixes.
        apart: (op, input position) → the node there, and a node of the group to requantize it to.
        stretched: constants that may be clipped to the range of their group.
    """

    def __init__(self, graph: Graph, plans: list[OpPlan], context: Context) -> None:
        self.context = context
        self.parent: dict[ScaleNode, ScaleNode] = {}
        self.fixed: dict[ScaleNode, Fixed] = {}
        self.apart: dict[tuple[Op, int], tuple[ScaleNode, ScaleNode]] = {}
        self.stretched: set[ScaleNode] = set()
        self.ops: dict[Op, tuple[OpRule, str]] = {}
        for op, plan in zip(graph.ops, plans, strict=True):
            rule = find_rule(op.kind)
            if plan.mode == INTEGER and plan.dtype is not None and rule is not None:
                self.ops[op] = rule, plan.dtype
                self._add(op, rule, plan.dtype)
        self._add_interface([*graph.inputs, *graph.outputs])

    def _add(self, op: Op, rule: OpRule, dtype: str) -> None:
        inputs = [(i, node_of(op, i, t, dtype)) for i, t in real_inputs(op, rule)]
        outputs = [ScaleNode(t, dtype) for _, t in real_outputs(op, rule)]
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

    def _add_interface(self, ends: list[Tensor]) -> None:
        """Add the inputs and outputs of a file with an integer interface, which have its type."""
        interface = self.context.scheme.interface
        dtype = "int8" if interface == "uint8" else interface
        if dtype == "float32" or self.context.index != 0:
            return
        touched = {node.tensor for node in self.parent}
        for tensor in ends:
            if tensor in touched and self.context.range_of(tensor, dtype) is not None:
                self.parent.setdefault(ScaleNode(tensor, dtype), ScaleNode(tensor, dtype))

    def _join(self, op: Op, inputs: list[tuple[int, ScaleNode]], outputs: list[ScaleNode]) -> None:
        """Join the nodes of a same-scale op; inputs with another fixed scale are requantized."""
        fixed = {f for _, n in inputs if (f := self.fixed.get(self.find(n)))}
        free = [n for _, n in inputs if self.find(n) not in self.fixed]
        one_scale = not fixed or (len(fixed) == 1 and all(self._fits(n, next(iter(fixed))) for n in free))
        anchor = next(iter([*outputs, *free, *(n for _, n in inputs)]))
        if not one_scale and self.find(anchor) in self.fixed:
            anchor = ScaleNode(Tensor(f"{op.name}/inputs", ()), anchor.dtype, (op, -1))
            self.parent[anchor] = anchor
        for node in outputs:
            self._union(anchor, node)
        for position, node in inputs:
            if one_scale or self.find(node) not in self.fixed:
                self._union(anchor, node)
            else:
                self.apart[op, position] = (node, anchor)

    def _fits(self, node: ScaleNode, fixed: Fixed) -> bool:
        """True for a constant that a fixed scale represents without clipping."""
        limits = self.range_of(node)
        if node.use is None or limits is None:
            return False
        scale, zero_point = fixed
        bottom, top = LIMITS[node.dtype]
        return scale * (bottom - zero_point) <= limits[0] and limits[1] <= scale * (top - zero_point)

    def find(self, node: ScaleNode) -> ScaleNode:
        """Return the root of a node's group."""
        while self.parent[node] != node:
            self.parent[node] = self.parent[self.parent[node]]
            node = self.parent[node]
        return node

    def _union(self, a: ScaleNode, b: ScaleNode) -> None:
        first, second = self.find(a), self.find(b)
        if first == second:
            return
        fixed = self.fixed.get(first) or self.fixed.get(second)
        self.parent[second] = first
        if fixed:
            self.fixed[first] = fixed

    def members(self) -> dict[ScaleNode, list[ScaleNode]]:
        """Return root → nodes of its group."""
        found: dict[ScaleNode, list[ScaleNode]] = {}
        for node in self.parent:
            found.setdefault(self.find(node), []).append(node)
        for node, anchor in self.apart.values():
            # A requantized value still has to fit the range of the group that its op writes.
            found[self.find(anchor)].append(node)
        return found

    def range_of(self, node: ScaleNode) -> Range | None:
        """Return the range of a node; None for a requantized copy."""
        if node.use is not None and node.use[1] < 0:
            return None
        found = self.context.range_of(node.tensor, node.dtype)
        if found is None:
            raise QuantizationError(f"The range of '{node.tensor.name}' was not calibrated.")
        return found

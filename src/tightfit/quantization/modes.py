"""How each op of a graph runs under a scheme, and why: integer, hybrid, unpacked, float or exact.

Decides per op from ``OP_RULES``, then lets data movement between float ops stay in float.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.quantization.op_rules import OpRule
from tightfit.quantization.plan import EXACT, FLOAT, HYBRID, INTEGER, UNPACKED, OpPlan
from tightfit.quantization.ranges import Ranges
from tightfit.quantization.rules import (
    find_rule,
    fixed_output,
    refusal_reason,
    weight_of,
    weights_are_activations,
)
from tightfit.quantization.scheme import SCHEMES, Scheme, find_scheme

SMALLEST_WEIGHT: Final = 1024
"""Constants of fewer elements stay float where they would only be unpacked: nothing to gain."""

READS_ANY_TYPE: Final = frozenset({"SHAPE", "RANK"})


@dataclass(frozen=True)
class Override:
    """Another scheme for some ops: ``pattern`` is an op's name or kind, ``*`` and ``?`` allowed.

    Args:
        scheme: a scheme's name, or ``float``.
        reason: what the plan says about it.
    """

    pattern: str
    scheme: str
    reason: str = ""

    def matches(self, op: Op) -> bool:
        """True when the pattern names the op's kind or one of its outputs."""
        names = [op.kind, *(t.name for t in op.outputs)]
        return any(n == self.pattern or fnmatch.fnmatchcase(n, self.pattern) for n in names)


@dataclass(frozen=True)
class Context:
    """What the decisions of one graph depend on."""

    index: int
    scheme: Scheme
    overrides: Sequence[Override]
    ranges: Ranges
    keys: dict[Tensor, str]


def decide_modes(graph: Graph, context: Context) -> list[OpPlan]:
    """Gives one ``OpPlan`` for each op, with its mode and reason; constants are not decided yet."""
    plans = [_decide(op, context) for op in graph.ops]
    _keep_movement_in_float(graph, plans, integer_ends=context.scheme.interface != "float32")
    return plans


def real_inputs(op: Op, rule: OpRule | None) -> list[tuple[int, Tensor]]:
    """The inputs of an op that carry reals: (position, tensor), without weights and bias."""
    skipped = {weight_of(op, rule), rule.bias, *rule.keep_inputs} if rule else set()
    return [
        (i, t)
        for i, t in enumerate(op.inputs)
        if t is not None and i not in skipped and t.dtype == "float32"
    ]


def real_outputs(op: Op, rule: OpRule | None) -> list[tuple[int, Tensor]]:
    """The outputs of an op that carry reals."""
    kept = set(rule.keep_outputs) if rule else set()
    return [(i, t) for i, t in enumerate(op.outputs) if i not in kept and t.dtype == "float32"]


def weight_positions(op: Op, rule: OpRule | None, smallest: int = SMALLEST_WEIGHT) -> list[int]:
    """The inputs of an op that hold a float constant worth storing smaller."""
    positions: Sequence[int] = range(len(op.inputs))
    if rule is not None:
        positions = rule.hybrid_weights or (() if rule.weight is None else (rule.weight,))
    return [i for i in positions if _is_float_constant(op.input(i), smallest)]


def _is_float_constant(tensor: Tensor | None, smallest: int) -> bool:
    return (
        tensor is not None
        and tensor.is_constant
        and tensor.dtype == "float32"
        and tensor.sparsity is None
        and tensor.size >= smallest
    )


def _decide(op: Op, context: Context) -> OpPlan:
    scheme, asked = _scheme_of(op, context)
    plan = OpPlan(op.name, op.kind, FLOAT, asked)
    if not _carries_reals(op):
        plan.mode, plan.reason = EXACT, ""
    elif scheme is None:
        plan.wanted = not asked
    elif scheme.compute == INTEGER:
        _integer(op, plan, scheme, context)
    else:
        _smaller_weights(op, plan, scheme)
    return plan


def _scheme_of(op: Op, context: Context) -> tuple[Scheme | None, str]:
    for override in context.overrides:
        if override.matches(op):
            reason = override.reason or f"asked for: {override.pattern} → {override.scheme}"
            return (None if override.scheme == "float" else find_scheme(override.scheme)), reason
    return context.scheme, ""


def _carries_reals(op: Op) -> bool:
    if op.kind in READS_ANY_TYPE:
        return False
    tensors = [t for t in (*op.inputs, *op.outputs) if t is not None]
    return any(t.dtype in ("float32", "float16", "float64", "bfloat16") for t in tensors)


def _integer(op: Op, plan: OpPlan, scheme: Scheme, context: Context) -> None:
    dtype = scheme.activations or "int8"
    reason = _integer_refusal(op, dtype, context)
    if reason is None:
        plan.mode, plan.dtype = INTEGER, dtype
        return
    # The weights can still be stored small: the size promised by the scheme does not depend on the kernel.
    _smaller_weights(op, plan, SCHEMES["weight8"])
    plan.reason, plan.wanted = reason, True


def _integer_refusal(op: Op, dtype: str, context: Context) -> str | None:
    """Why the op cannot run on integers, or None."""
    reason = refusal_reason(op, dtype)
    if reason is not None:
        return reason
    rule = find_rule(op.kind)
    if rule is None:
        return f"{op.kind} has no rule"
    for position in (rule.weight, rule.bias):
        tensor = None if position is None else op.input(position)
        if position == rule.weight and weights_are_activations(rule):
            continue
        if tensor is not None and not _is_float_constant(tensor, 0):
            return f"its input '{tensor.name}' is computed at run time or not float32; the kernel needs a constant"
    return _missing_range(op, rule, dtype, context)


def _missing_range(op: Op, rule: OpRule, dtype: str, context: Context) -> str | None:
    reals = [t for _, t in real_inputs(op, rule)]
    if fixed_output(op, dtype) is None:
        reals += [t for _, t in real_outputs(op, rule)]
    for tensor in reals:
        if tensor.is_variable:
            return f"its tensor '{tensor.name}' is a variable that keeps its value between calls"
        known = tensor.is_constant or (tensor.producer is not None and fixed_output(tensor.producer, dtype))
        if not known and context.ranges.find(context.index, context.keys[tensor], dtype) is None:
            return f"the range of '{tensor.name}' was not calibrated"
    return None


def _smaller_weights(op: Op, plan: OpPlan, scheme: Scheme) -> None:
    """Decides hybrid or unpacked for the schemes that leave activations in float."""
    rule = find_rule(op.kind)
    everything = scheme.weights == "float16"
    # Half-precision constants cost nothing to unpack, so biases and slopes go along with the weights.
    positions = weight_positions(op, None, 16) if everything else weight_positions(op, rule)
    if not positions or (rule is None and not everything):
        return
    kernels = (rule.hybrid, rule.hybrid_per_channel) if rule is not None else ()
    hybrid = scheme.compute == HYBRID and any(k is not None for k in kernels)
    plan.mode = HYBRID if hybrid else UNPACKED


def _keep_movement_in_float(graph: Graph, plans: list[OpPlan], *, integer_ends: bool) -> None:
    """Groups of ops that only move data stay in float when everything around them is float."""
    by_op = dict(zip(graph.ops, plans, strict=True))
    movers = {op for op, plan in by_op.items() if plan.mode == INTEGER and _only_moves(op)}
    ends = {*graph.inputs, *graph.outputs} if integer_ends else set()
    while movers:
        group, border = _connected(movers.pop(), by_op, ends)
        movers -= group
        if not border:
            for op in group:
                by_op[op].mode, by_op[op].dtype = FLOAT, None
                by_op[op].reason = "only moves data between float ops; integers would add conversions"


def _only_moves(op: Op) -> bool:
    rule = find_rule(op.kind)
    return rule is not None and bool(rule.same_scale) and rule.weight is None


def _connected(start: Op, by_op: dict[Op, OpPlan], ends: set[Tensor]) -> tuple[set[Op], bool]:
    """The group of movers around one, and whether integers border on it: a computing op or an end."""
    group, todo, border = {start}, [start], False
    while todo:
        op = todo.pop()
        rule = find_rule(op.kind)
        tensors = [t for _, t in (*real_inputs(op, rule), *real_outputs(op, rule))]
        border |= any(t in ends for t in tensors)
        neighbours = [t.producer for t in tensors] + [reader for t in tensors for reader, _ in t.consumers]
        for other in neighbours:
            if other is None or other in group or by_op[other].mode != INTEGER:
                continue
            if _only_moves(other):
                group.add(other)
                todo.append(other)
            else:
                border = True
    return group, border

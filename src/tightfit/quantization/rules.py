"""Questions that the planner asks of the op tables: which rule, which inputs carry reals, why not."""

from __future__ import annotations

from typing import Final

from tightfit.graph.ir import Op, Tensor
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.float_only import FLOAT_ONLY
from tightfit.quantization.op_rules import RUNTIME, OpRule, activation_inputs, activation_outputs, is_weight
from tightfit.quantization.op_table import OP_RULES

READS_ANY_TYPE: Final = frozenset({"SHAPE", "RANK"})
"""Ops that look at a tensor's shape only, so they take it in whatever type it is held."""

TABLES: Final[dict[str, int]] = {"GATHER": 0}
"""Ops that read rows of a constant: not weights of a kernel, but as large (embeddings)."""


def find_rule(kind: str) -> OpRule | None:
    """Gives the rule of an op kind, None when it stays in float."""
    return OP_RULES.get(kind)


def refusal_reason(op: Op, dtype: str, weights: str = "int8") -> str | None:
    """Says why an op has no integer kernel for activations of ``dtype``, None when it has one.

    Example:
        >>> refusal_reason(Op("CONV_2D", [], []), "int8") is None
        True
    """
    if op.kind == "CUSTOM":
        return f"the custom op '{op.custom_code}' has only the kernel that its author gave it"
    rule = find_rule(op.kind)
    if rule is None:
        return FLOAT_ONLY.get(op.kind, f"{RUNTIME} has no integer kernel for {op.kind}")
    return rule.refusal(dtype, weights)


def real_inputs(op: Op, rule: OpRule | None) -> list[tuple[int, Tensor]]:
    """The inputs of an op that carry reals: (position, tensor), without weights and bias."""
    positions = range(len(op.inputs)) if rule is None else activation_inputs(rule, op)
    pairs = ((i, op.inputs[i]) for i in positions)
    return [(i, t) for i, t in pairs if t is not None and t.dtype == "float32"]


def real_outputs(op: Op, rule: OpRule | None) -> list[tuple[int, Tensor]]:
    """The outputs of an op that carry reals."""
    positions = range(len(op.outputs)) if rule is None else activation_outputs(rule, op)
    return [(i, op.outputs[i]) for i in positions if op.outputs[i].dtype == "float32"]


def weight_of(op: Op, rule: OpRule) -> int | None:
    """The position of an op's constant weights, None when it has none or computes them at run time."""
    return rule.weight if rule.weight is not None and is_weight(rule, op, rule.weight) else None


def weights_are_activations(rule: OpRule) -> bool:
    """True where the kernel takes weights that are computed at run time, as a second activation."""
    return rule.weight is not None and rule.weight_axis is None and rule.bias is None


def is_float_constant(tensor: Tensor | None, smallest: int = 0) -> bool:
    """True for a dense float32 constant of at least that many elements."""
    return (
        tensor is not None
        and tensor.is_constant
        and tensor.dtype == "float32"
        and tensor.sparsity is None
        and tensor.size >= smallest
    )


def only_moves(op: Op) -> bool:
    """True for ops that move or select values and compute nothing."""
    rule = find_rule(op.kind)
    return rule is not None and bool(rule.same_scale) and rule.weight is None


def fixed_output(op: Op, dtype: str) -> tuple[float, int] | None:
    """The scale and zero point that the kernel gives its outputs, None when they are free."""
    rule = find_rule(op.kind)
    return None if rule is None else rule.fixed_output.get(dtype)


def fixed_range(op: Op, dtype: str) -> tuple[float, float] | None:
    """The values that the outputs' fixed scale spans.

    Example:
        >>> fixed_range(Op("TANH", [], []), "int8")
        (-1.0, 0.9921875)
    """
    fixed = fixed_output(op, dtype)
    if fixed is None:
        return None
    (scale, zero_point), (bottom, top) = fixed, LIMITS[dtype]
    return scale * (bottom - zero_point), scale * (top - zero_point)

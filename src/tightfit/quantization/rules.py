"""Questions that the planner asks of the op tables: which rule, which inputs, why not."""

from __future__ import annotations

from tightfit.graph.ir import Op
from tightfit.quantization.float_only import FLOAT_ONLY
from tightfit.quantization.op_rules import ALL, RUNTIME, OpRule
from tightfit.quantization.op_table import OP_RULES


def find_rule(kind: str) -> OpRule | None:
    """Gives the rule of an op kind, None when it stays in float."""
    return OP_RULES.get(kind)


def refusal_reason(op: Op, dtype: str) -> str | None:
    """Says why an op has no integer kernel for activations of ``dtype``, None when it has one.

    Example:
        >>> from tightfit.graph.ir import Tensor
        >>> refusal_reason(Op("CONV_2D", [], []), "int8") is None
        True
    """
    if op.kind == "CUSTOM":
        return f"the custom op '{op.custom_code}' has only the kernel that its author gave it"
    rule = find_rule(op.kind)
    if rule is None:
        return FLOAT_ONLY.get(op.kind, f"{RUNTIME} has no integer kernel for {op.kind}")
    version = rule.int8 if dtype == "int8" else rule.int16
    if version is None:
        return rule.why_not.get(dtype, f"no {dtype} kernel for {op.kind} in {RUNTIME}")
    return None


def weight_of(op: Op, rule: OpRule) -> int | None:
    """The position of an op's constant weights, None when it has none or computes them at run time."""
    if rule.weight is None:
        return None
    tensor = op.input(rule.weight)
    return rule.weight if tensor is not None and tensor.is_constant else None


def weights_are_activations(rule: OpRule) -> bool:
    """True where the kernel takes weights that are computed at run time, as a second activation."""
    return rule.weight is not None and rule.weight_axis is None and rule.bias is None


def shared_inputs(op: Op, rule: OpRule) -> set[int]:
    """Positions of the inputs that must have the outputs' scale."""
    if rule.same_scale == ALL:
        return set(range(len(op.inputs))) - set(rule.keep_inputs)
    return set(rule.same_scale)


def fixed_output(op: Op, dtype: str) -> tuple[float, int] | None:
    """The scale and zero point that the kernel gives its outputs, None when they are free."""
    rule = find_rule(op.kind)
    return None if rule is None else rule.fixed_output.get(dtype)

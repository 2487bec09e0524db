"""Queries of the planner on the op tables: rules, real inputs and outputs, refusals."""

from __future__ import annotations

from typing import Final

from tightfit.graph.ir import Op, Tensor
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.ops.float_only import FLOAT_ONLY
from tightfit.quantization.ops.op_rule import ALL, RUNTIME, OpRule
from tightfit.quantization.ops.op_table import OP_RULES

READS_ANY_TYPE: Final = frozenset({"SHAPE", "RANK"})
"""Ops that read only a tensor's shape, so that its type does not matter."""

TABLES: Final[dict[str, int]] = {"GATHER": 0}
"""Op kind → position of the table of a look-up (embeddings), which is stored like weights."""


def find_rule(kind: str) -> OpRule | None:
    """Return the rule of an op kind, or None when it is not quantized."""
    return OP_RULES.get(kind)


def refusal_reason(op: Op, dtype: str, weights: str = "int8") -> str | None:
    """Return why an op has no integer kernel for activations of ``dtype``, or None when it has one.

    Args:
        op: the op.
        dtype: type of the activations.
        weights: type of the weights.

    Example:
        >>> refusal_reason(Op("CONV_2D", [], []), "int8") is None
        True
    """
    if op.kind == "CUSTOM":
        return f"the custom op '{op.custom_code}' has only the kernel that its author gave it"
    rule = find_rule(op.kind)
    if rule is None:
        return FLOAT_ONLY.get(op.kind, f"{RUNTIME} has no integer kernel for {op.kind}")
    if rule.version(dtype, weights) is not None:
        return _COPIES if op.kind == "REDUCE_PROD" and _reduces_nothing(op) else None
    with_weights = f" with {weights} weights" if rule.weight is not None else ""
    return rule.why_not.get(dtype, f"no {dtype} kernel{with_weights} in {RUNTIME}")


_COPIES: Final = "its kernel copies the integers where the axis has length 1, whatever their scales"


def _reduces_nothing(op: Op) -> bool:
    """True for a reduction over axes of length 1."""
    source = op.input(0)
    return source is not None and bool(op.outputs) and source.size == op.outputs[0].size


def real_inputs(op: Op, rule: OpRule | None) -> list[tuple[int, Tensor]]:
    """Return the inputs of an op that represent reals as (position, tensor), without weights and bias."""
    skipped = set() if rule is None else {weight_of(op, rule), *rule.unlike_activations()}
    pairs = [(i, t) for i, t in enumerate(op.inputs) if t is not None and i not in skipped]
    return [(i, t) for i, t in pairs if t.dtype == "float32"]


def real_outputs(op: Op, rule: OpRule | None) -> list[tuple[int, Tensor]]:
    """Return the outputs of an op that represent reals as (position, tensor)."""
    kept = () if rule is None else rule.keep_outputs
    return [(i, t) for i, t in enumerate(op.outputs) if i not in kept and t.dtype == "float32"]


def shared_inputs(op: Op, rule: OpRule) -> set[int]:
    """Return the positions of the inputs that must have the outputs' scale."""
    inputs = {i for i, _ in real_inputs(op, rule)}
    return inputs if rule.same_scale == ALL else inputs & set(rule.same_scale)


def weight_of(op: Op, rule: OpRule) -> int | None:
    """Return the position of an op's constant weights, None when it has none or computes them at run time."""
    tensor = None if rule.weight is None else op.input(rule.weight)
    return rule.weight if tensor is not None and tensor.is_constant else None


def is_float_constant(tensor: Tensor | None, smallest: int = 0) -> bool:
    """Return True for a dense float32 constant of at least ``smallest`` elements."""
    return (
        tensor is not None
        and tensor.is_constant
        and tensor.dtype == "float32"
        and tensor.sparsity is None
        and tensor.size >= smallest
    )


def only_moves(op: Op) -> bool:
    """Return True for ops that move or select values and compute nothing."""
    rule = find_rule(op.kind)
    return rule is not None and bool(rule.same_scale) and rule.weight is None and not rule.gates


def fixed_output(op: Op, dtype: str) -> tuple[float, int] | None:
    """Return the (scale, zero point) that the kernel fixes for its outputs, or None when they are free."""
    rule = find_rule(op.kind)
    return None if rule is None else rule.fixed_output.get(dtype)


def fixed_range(op: Op, dtype: str) -> tuple[float, float] | None:
    """Return the (least, largest) value that the outputs' fixed scale represents, or None.

    Example:
        >>> fixed_range(Op("TANH", [], []), "int8")
        (-1.0, 0.9921875)
    """
    fixed = fixed_output(op, dtype)
    if fixed is None:
        return None
    (scale, zero_point), (bottom, top) = fixed, LIMITS[dtype]
    return scale * (bottom - zero_point), scale * (top - zero_point)

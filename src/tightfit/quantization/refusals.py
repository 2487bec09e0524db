"""The reasons why an op cannot run on integers in a given model, beside those of its kind.

Each function returns the reason as the end of a sentence, or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from tightfit.errors import QuantizationError
from tightfit.graph.ir import Op, Tensor
from tightfit.graph.ops.sequence_lstm import CELL, KIND, is_state, is_written_state, unlike_plain
from tightfit.quantization.arithmetic import activation_parameters, quantize
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.ops.op_rule import OpRule
from tightfit.quantization.ops.rule_lookup import (
    find_rule,
    fixed_range,
    is_float_constant,
    real_inputs,
    real_outputs,
    refusal_reason,
)
from tightfit.quantization.plan import Storage

RangeOf = Callable[[Tensor, str], Range | None]

# A divisor within this many steps of zero may be stored as zero for another input.
_DIVISOR_STEPS: Final = 16

MOST_CELL: Final = 64.0
"""The largest cell state: TANH reads up to six integer bits (``tensor_utils.cc``)."""

_ROOTS: Final = frozenset({"SQRT", "RSQRT"})


def integer_refusal(op: Op, dtype: str, weights: str, range_of: RangeOf) -> str | None:
    """Return why an op cannot run on integers of ``dtype``, or None when it can.

    Args:
        op: any op with real inputs or outputs.
        dtype: type of the activations.
        weights: type of the stored weights.
        range_of: returns the range of a tensor for a type, None where it is not known.

    Raises:
        QuantizationError: an input of the graph was NaN or infinite in all calibration samples.
    """
    rule = find_rule(op.kind)
    reason = refusal_reason(op, dtype, weights)
    if reason is not None or rule is None:
        return reason
    if not real_inputs(op, rule) and not real_outputs(op, rule):
        types = sorted({t.dtype for t in (*op.inputs, *op.outputs) if t is not None and "float" in t.dtype})
        return f"it works on {' and '.join(types)}, not float32"
    return (
        _unlike_plain(op, rule, range_of)
        or _not_constant(op, rule)
        or _not_finite(op, rule)
        or _no_range(op, rule, dtype, range_of)
        or _zero_divisor(op, rule, dtype, range_of)
        or _negative_root(op, dtype, range_of)
        or _too_fine(op, rule, dtype, range_of)
        or _vanishing(op, rule, dtype, range_of)
    )


def _unlike_plain(op: Op, rule: OpRule, range_of: RangeOf) -> str | None:
    """Refuse cells that the integer kernels do not compute, or whose state they cannot hold."""
    if rule.cell is None:
        return None
    reason = unlike_plain(op)
    if reason is not None:
        return reason
    limits = range_of(op.operand(rule.cell), "int16")
    if limits is None:
        return "the range of its cell state was not calibrated"
    reach = max(-limits[0], limits[1])
    return (
        None if reach <= MOST_CELL else f"its cell state reaches {reach:.3g}; the kernel holds ±{MOST_CELL:g}"
    )


def _not_constant(op: Op, rule: OpRule) -> str | None:
    """Refuse weights or bias that are computed or sparse."""
    for position in (rule.weight, rule.bias, *(place for pair in rule.gates for place in pair)):
        tensor = None if position is None else op.input(position)
        if tensor is None or (position == rule.weight and rule.runtime_weight):
            continue
        if tensor.sparsity is not None:
            return f"its input '{tensor.name}' is stored sparse; the kernel needs it dense"
        if not is_float_constant(tensor):
            return f"its input '{tensor.name}' is computed at run time; the kernel needs a constant"
    return None


def _not_finite(op: Op, rule: OpRule) -> str | None:
    """Refuse constants with infinities (a mask of −infinity), which have no range."""
    for _, tensor in real_inputs(op, rule):
        if tensor.data is not None and not np.isfinite(tensor.data).all():
            return f"its constant '{tensor.name}' has NaN or infinity, which no integer represents"
    return None


def _no_range(op: Op, rule: OpRule, dtype: str, range_of: RangeOf) -> str | None:
    for tensor in (t for _, t in (*real_inputs(op, rule), *real_outputs(op, rule))):
        if tensor.is_variable and not (is_written_state(tensor) or is_state(tensor)):
            return f"its tensor '{tensor.name}' is a variable that keeps its value between calls"
        try:
            known = range_of(tensor, dtype)
        except QuantizationError:
            if tensor.producer is None:
                raise  # the data are wrong, not an op
            return f"its tensor '{tensor.name}' was NaN or infinite in all calibration samples"
        if known is None:
            return f"the range of '{tensor.name}' was not calibrated"
    return None


def _zero_divisor(op: Op, rule: OpRule, dtype: str, range_of: RangeOf) -> str | None:
    """Refuse a divisor that may be stored as zero, for which the kernel fails."""
    tensor = None if rule.nonzero is None else op.input(rule.nonzero)
    limits = None if tensor is None else range_of(tensor, dtype)
    if tensor is None or limits is None:
        return None
    scale, zero_point = activation_parameters(*limits, dtype)
    if tensor.data is not None:
        fails = bool((quantize(tensor.data, scale, zero_point, dtype) == zero_point).any())
    else:
        fails = max(limits[0], -limits[1]) < _DIVISOR_STEPS * scale
    return f"its divisor '{tensor.name}' comes too near to zero, where the kernel fails" if fails else None


def _negative_root(op: Op, dtype: str, range_of: RangeOf) -> str | None:
    """Refuse roots of negative numbers, for which the integer kernel fails (the float one returns NaN)."""
    tensor = op.input(0) if op.kind in _ROOTS else None
    limits = None if tensor is None else range_of(tensor, dtype)
    if tensor is None or limits is None or limits[0] >= 0.0:
        return None
    return f"its input '{tensor.name}' is below zero at times, where the kernel fails"


def _too_fine(op: Op, rule: OpRule, dtype: str, range_of: RangeOf) -> str | None:
    """Refuse int8 comparisons of values that are finer than the kernel's resolution."""
    if dtype != "int8" or not rule.least_input_scale:
        return None
    known = [r for _, t in real_inputs(op, rule) if (r := range_of(t, dtype)) is not None]
    low, high = min(r[0] for r in known), max(r[1] for r in known)
    if activation_parameters(low, high, dtype)[0] >= rule.least_input_scale:
        return None
    return f"its values lie in [{low:.3g}, {high:.3g}]; {rule.unless}"


def _vanishing(op: Op, rule: OpRule, dtype: str, range_of: RangeOf) -> str | None:
    """Refuse ranges of many magnitudes for ops whose relative error at small values matters."""
    for tensor, kind in _where_small_values_count(op, rule):
        limits = range_of(tensor, dtype)
        if limits is None or limits[0] <= 0.0:
            continue
        if limits[0] < activation_parameters(*limits, dtype)[0] / 2:
            return (
                f"'{tensor.name}' lies in [{limits[0]:.3g}, {limits[1]:.3g}]: {dtype} would store its "
                f"smallest values as zero, and {kind} needs them"
            )
    return None


def _where_small_values_count(op: Op, rule: OpRule) -> list[tuple[Tensor, str]]:
    """The tensors of an op whose relative error matters, each with the kind of the op for which it does."""
    own = None if rule.relative is None else op.input(rule.relative)
    found = [] if own is None else [(own, op.kind)]
    for _, tensor in real_outputs(op, rule):
        for reader, position in tensor.consumers:
            theirs = find_rule(reader.kind)
            if theirs is not None and theirs.relative == position:
                found.append((tensor, reader.kind))
    return found


def constant_range(tensor: Tensor) -> Range | None:
    """Return the range of a constant, zero included, or None for other tensors."""
    if tensor.data is None:
        return None
    return float(tensor.data.min(initial=0.0)), float(tensor.data.max(initial=0.0))


def written_range(tensor: Tensor) -> Range | None:
    """Return the range in which the hidden state of an LSTM starts: zero; None for other tensors.

    Each call sets it to zero, or the runtime does once; what the LSTM writes to it is its output. The cell
    state is no output: calibration finds its range.
    """
    holds_cell = any(op.kind == KIND and place == CELL for op, place in tensor.consumers)
    return (0.0, 0.0) if not holds_cell and (is_written_state(tensor) or is_state(tensor)) else None


def cell_storage(limits: Range) -> Storage:
    """Return how integer kernels hold the cell state of an LSTM: int16, its scale a power of two.

    Args:
        limits: the least and the largest value; 2¹⁵ steps hold their power of two.

    Example:
        >>> cell_storage((-1.5, 0.5)).scale
        (6.103515625e-05,)
    """
    reach = max(-limits[0], limits[1], 1.0)
    scale = 2.0 ** (math.ceil(math.log2(reach * (1 + 2**-15))) - 15)
    return Storage("int16", (scale,), (0,), reason="the power of two of the cell state", range=limits)


def kernel_range(tensor: Tensor, dtype: str) -> Range | None:
    """Return the range that a kernel fixes for its output, or None when it is free."""
    return None if tensor.producer is None else fixed_range(tensor.producer, dtype)

"""Decide the storage of an op's constants: weights per channel, biases on the product's grid.

Source: TFLite 8-bit quantization specification; ``tflite/kernels/kernel_util.cc`` checks that the bias
scale equals input scale · weight scale.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tightfit.errors import QuantizationError
from tightfit.graph.ir import Op
from tightfit.quantization.arithmetic import LIMITS, weight_scales
from tightfit.quantization.grid import KEPT, grid_scales
from tightfit.quantization.modes import SMALLEST_HALF, has_rows, hybrid_positions, weight_positions
from tightfit.quantization.ops.op_rule import OpRule
from tightfit.quantization.ops.rule_lookup import TABLES, find_rule, weight_of
from tightfit.quantization.plan import HYBRID, INTEGER, UNPACKED, OpPlan, Storage
from tightfit.quantization.scheme import Scheme
from tightfit.types import Array

# An int32 accumulator adds the bias to a sum of products: half of the range is left for the sum. The int64
# accumulators of int16 kernels are rescaled in 48 bits (``MultiplyByQuantizedMultiplier`` of int64).
_BIAS_LIMITS: Final = {"int8": 2.0**30, "int16": 2.0**46}


def decide_constants(op: Op, plan: OpPlan, scheme: Scheme, activation: Storage | None) -> int:
    """Fill ``plan.constants`` for weights and bias.

    Args:
        op: the op.
        plan: its plan; it is changed in place.
        scheme: the op's own scheme, with the type of its weights.
        activation: storage of the input that multiplies the weights, for an integer op.

    Returns:
        The number of channels whose weight scale was widened so that the bias fits int32.
    """
    rule = find_rule(op.kind)
    if plan.mode == UNPACKED and scheme.weights == "float16":
        plan.constants = {i: Storage("float16") for i in weight_positions(op, None, SMALLEST_HALF)}
    elif plan.mode in (UNPACKED, HYBRID):
        hybrid = plan.mode == HYBRID
        small = scheme.smallest
        positions = (
            hybrid_positions(op, rule, scheme.weights, small) if hybrid else weight_positions(op, rule, small)
        )
        axis = _axis(op, rule, hybrid=hybrid)
        plan.constants = {i: _weight(op, i, axis, scheme.weights) for i in positions}
    elif plan.mode == INTEGER and rule is not None and rule.gates:
        return _gate_constants(op, plan, rule, scheme, activation)
    elif plan.mode == INTEGER and rule is not None and rule.weight is not None:
        return _integer_constants(op, plan, rule, scheme, activation)
    return 0


def _axis(op: Op, rule: OpRule | None, *, hybrid: bool) -> int | None:
    """The channel axis of weights under float activations: any for unpacking, the kernel's for hybrid."""
    if rule is None or op.kind in TABLES:
        return TABLES.get(op.kind)
    if not hybrid and has_rows(op, rule):
        return 0
    return rule.dynamic_axis() if hybrid or rule.weight is None else rule.weight_axis


def _weight(op: Op, position: int, axis: int | None, dtype: str) -> Storage:
    tensor = op.operand(position)
    return _stored(tensor.values, axis, dtype, op)[1]


def _finite(values: npt.NDArray[Any], op: Op) -> npt.NDArray[Any]:
    """The values, unchanged.

    Raises:
        QuantizationError: a value is NaN or infinite.
    """
    if not np.isfinite(values).all():
        raise QuantizationError(
            f"A constant of {op.kind} '{op.name}' has NaN or infinity, which no integer represents. "
            "Train or export the model again, or keep the op in float."
        )
    return values


def _stored(values: Array, axis: int | None, dtype: str, op: Op) -> tuple[npt.NDArray[np.float32], Storage]:
    """The scales of weights and their storage: the grid that they stand on, else the largest weight's."""
    found = grid_scales(values, axis, dtype) if dtype in LIMITS else None
    scales = _finite(weight_scales(values, axis, dtype), op) if found is None else found
    reason = "largest weight" if found is None else KEPT
    numbers = tuple(scales.tolist())
    return scales, Storage(dtype, numbers, (0,) * scales.size, axis, narrow=found is None, reason=reason)


def _integer_constants(op: Op, plan: OpPlan, rule: OpRule, scheme: Scheme, activation: Storage | None) -> int:
    position = weight_of(op, rule)
    weight = None if position is None else op.input(position)
    if position is None or weight is None or weight.data is None:
        return 0
    axis, dtype = None if op.kind in scheme.one_scale else rule.weight_axis, scheme.weights
    scales, storage = _stored(weight.data, axis, dtype, op)
    bias = _bias_values(op, rule)
    widened = 0
    if bias is not None and activation is not None and rule.bias is not None:
        activations = plan.dtype or "int8"
        scales, widened = _fit_bias(_finite(bias, op), scales, activation.scale[0], activations)
        plan.constants[rule.bias] = _bias(scales, activation.scale[0], activations)
    plan.constants[position] = replace(storage, scale=tuple(scales.tolist()))
    return widened


def _gate_constants(op: Op, plan: OpPlan, rule: OpRule, scheme: Scheme, activation: Storage | None) -> int:
    """The weights and biases of an op with several products, of one scale each."""
    widened, dtype = 0, plan.dtype or "int8"
    for position, place in rule.gates:
        scales, storage = _stored(op.operand(position).values, None, scheme.weights, op)
        bias = None if place is None else op.input(place)
        if place is not None and bias is not None and activation is not None:
            step = activation.scale[0]
            scales, more = _fit_bias(_finite(bias.values, op), scales, step, dtype)
            plan.constants[place], widened = _bias(scales, step, dtype), widened + more
        plan.constants[position] = replace(storage, scale=tuple(scales.tolist()))
    return widened


def _bias_values(op: Op, rule: OpRule) -> npt.NDArray[np.float32] | None:
    """The bias of an op; zeros where the integer kernel requires a bias that the float op does not have."""
    bias = None if rule.bias is None else op.input(rule.bias)
    if bias is not None:
        return bias.data
    return np.zeros(1, np.float32) if rule.needs_bias else None


def _fit_bias(
    bias: npt.NDArray[np.float32], scales: npt.NDArray[np.float32], input_scale: float, dtype: str
) -> tuple[npt.NDArray[np.float32], int]:
    """Widen weight scales until each bias fits the accumulator of activations of ``dtype``."""
    least = np.abs(bias.reshape(-1)).astype(np.float64) / (_BIAS_LIMITS[dtype] * input_scale)
    if scales.size == 1:
        least = least.max(initial=0.0, keepdims=True)
    widened = least > scales
    return np.maximum(scales, least).astype(np.float32), int(widened.sum())


def _bias(scales: npt.NDArray[np.float32], input_scale: float, dtype: str) -> Storage:
    # The product is computed in float32 steps, as in the kernels' own check.
    product = (scales.astype(np.float64) * np.float64(np.float32(input_scale))).astype(np.float32)
    stored = "int32" if dtype == "int8" else "int64"
    axis = 0 if product.size > 1 else None
    return Storage(
        stored, tuple(product.tolist()), (0,) * product.size, axis, reason="input scale · weight scale"
    )

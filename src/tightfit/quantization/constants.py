"""How the constants of an op are stored: weights per channel, biases on the product's grid, the rest.

Source: TFLite 8-bit quantization specification; ``tflite/kernels/kernel_util.cc`` checks that the bias
scale equals input scale × weight scale.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.ir import Op, Tensor
from tightfit.quantization.arithmetic import weight_scales
from tightfit.quantization.modes import weight_positions
from tightfit.quantization.op_rules import OpRule
from tightfit.quantization.plan import HYBRID, INTEGER, UNPACKED, OpPlan, Storage
from tightfit.quantization.rules import find_rule, weight_of
from tightfit.quantization.scheme import Scheme

# An int32 accumulator adds the bias to a sum of products: half of the range is left for the sum.
_BIAS_LIMIT: Final = 2.0**30


def decide_constants(op: Op, plan: OpPlan, scheme: Scheme, activation: Storage | None) -> list[str]:
    """Fills ``plan.constants`` for weights and bias; gives notes for the reader of the plan.

    Args:
        scheme: the op's own scheme (its weights' type).
        activation: storage of the input that multiplies the weights, for an integer op.
    """
    rule = find_rule(op.kind)
    if plan.mode == UNPACKED and scheme.weights == "float16":
        plan.constants = {i: Storage("float16") for i in weight_positions(op, None, 16)}
    elif plan.mode in (UNPACKED, HYBRID):
        positions = weight_positions(op, rule)
        weights = "int8" if scheme.weights == "float16" else scheme.weights
        plan.constants = {i: _weight(op, i, plan.mode, weights) for i in positions}
    elif plan.mode == INTEGER and rule is not None and rule.weight is not None:
        return _integer_constants(op, plan, rule, scheme.weights, activation)
    return []


def _weight(op: Op, position: int, mode: str, dtype: str) -> Storage:
    rule = find_rule(op.kind)
    axis = rule.weight_axis if rule and rule.weight == position else None
    if mode == HYBRID and rule is not None and rule.hybrid_per_channel is None:
        axis = None
    tensor = _constant(op, position)
    return weight_storage(tensor.data, axis, dtype)


def weight_storage(weights: npt.NDArray[np.float32] | None, axis: int | None, dtype: str) -> Storage:
    """Gives the symmetric storage of weights, per channel where ``axis`` says so."""
    assert weights is not None  # noqa: S101 - the callers pass constants only
    scales = weight_scales(weights, axis, dtype)
    return _symmetric(scales, axis, dtype)


def _symmetric(scales: npt.NDArray[np.float32], axis: int | None, dtype: str) -> Storage:
    channels = axis if axis is not None else None
    return Storage(dtype, tuple(scales.tolist()), (0,) * scales.size, channels, "largest weight")


def _integer_constants(
    op: Op, plan: OpPlan, rule: OpRule, dtype: str, activation: Storage | None
) -> list[str]:
    position = weight_of(op, rule)
    weight = None if position is None else op.input(position)
    if position is None or weight is None or weight.data is None:
        return []
    axis = rule.weight_axis
    scales = weight_scales(weight.data, axis, dtype)
    bias = _bias_values(op, rule)
    notes = []
    if bias is not None and activation is not None:
        scales, widened = _fit_bias(bias, scales, activation.scale[0], plan.dtype or "int8")
        if widened:
            notes.append(
                f"{op.kind} '{op.name}': the bias of {widened} channels exceeds int32 on the grid of its "
                "weights; their weight scale was widened"
            )
        plan.constants[rule.bias or 0] = _bias(scales, activation.scale[0], plan.dtype or "int8")
    plan.constants[position] = _symmetric(scales, axis, dtype)
    return notes


def _bias_values(op: Op, rule: OpRule) -> npt.NDArray[np.float32] | None:
    """The bias of an op; zeros where the integer kernel needs one that the float op lacks."""
    bias = None if rule.bias is None else op.input(rule.bias)
    if bias is not None:
        return bias.data
    return np.zeros(1, np.float32) if rule.needs_bias else None


def _fit_bias(
    bias: npt.NDArray[np.float32], scales: npt.NDArray[np.float32], input_scale: float, dtype: str
) -> tuple[npt.NDArray[np.float32], int]:
    """Widens weight scales until each bias fits into int32; an int64 bias (int16) always fits."""
    if dtype != "int8":
        return scales, 0
    least = np.abs(bias.reshape(-1)).astype(np.float64) / (_BIAS_LIMIT * input_scale)
    if scales.size == 1:
        least = least.max(initial=0.0, keepdims=True)
    widened = least > scales
    return np.maximum(scales, least).astype(np.float32), int(widened.sum())


def _bias(scales: npt.NDArray[np.float32], input_scale: float, dtype: str) -> Storage:
    # The product is formed in float32 steps like the kernels' own check does.
    product = (scales.astype(np.float64) * np.float64(np.float32(input_scale))).astype(np.float32)
    stored = "int32" if dtype == "int8" else "int64"
    axis = 0 if product.size > 1 else None
    return Storage(stored, tuple(product.tolist()), (0,) * product.size, axis, "input scale × weight scale")


def _constant(op: Op, position: int) -> Tensor:
    tensor = op.input(position)
    assert tensor is not None  # noqa: S101 - weight_positions gives present constants only
    return tensor

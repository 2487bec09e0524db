"""Fused bias, activation function and fake-quantizer of convolutions and dense layers, in one pass."""

from __future__ import annotations

from typing import Any, Final

from tightfit.graph.ir import Op
from tightfit.graph.ops.activations import CLIPS, fused_activation
from tightfit.training.fake_quant.quantizers import ActivationQuantizer, Grid
from tightfit.training.lowering.op_lowerings import Lowering

_SUMS: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_BIAS: Final = 2


def ends_in_sum(op: Op, operands: list[Any]) -> bool:
    """Return True for an op with weights and a bias whose activation, if it has one, only clips."""
    return (
        op.kind in _SUMS
        and len(operands) > _BIAS
        and operands[_BIAS] is not None
        and fused_activation(op) in CLIPS
    )


def rounded_sum(
    row: Lowering, op: Op, operands: list[Any], quantizer: ActivationQuantizer, grid: Grid
) -> Any:
    """Return an op's output on the quantizer's grid; the lowering computes only the products.

    Args:
        row: the op's lowering.
        op: the op.
        operands: its inputs; the bias is added here.
        quantizer: the fake-quantizer of its output.
        grid: (scale, zero point) of its output.
    """
    products = Op(op.kind, op.inputs, op.outputs, op.options | {"fusedActivationFunction": 0})
    y = row.function(products, [*operands[:_BIAS], None])
    return quantizer.after_sum(y, operands[_BIAS], CLIPS[fused_activation(op)], grid)

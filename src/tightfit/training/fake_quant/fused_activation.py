"""The end of ops that sum products: bias, activation and rounding in one pass over the result."""

from __future__ import annotations

from typing import Any, Final

from tightfit.graph.activations import CLIPS, fused_activation
from tightfit.graph.ir import Op
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
    """Return what the op's row gives, on the quantizer's grid; the row computes only the products."""
    products = Op(op.kind, op.inputs, op.outputs, op.options | {"fusedActivationFunction": 0})
    y = row.function(products, [*operands[:_BIAS], None])
    return quantizer.after_sum(y, operands[_BIAS], CLIPS[fused_activation(op)], grid)

"""Data-movement ops, which pass on the values of one tensor unchanged."""

from __future__ import annotations

from tightfit.graph.ir import Op, Tensor
from tightfit.quantization.ops.rule_lookup import only_moves, real_inputs


def moves_data(op: Op) -> bool:
    """Return True for an op that only moves the values of one activation, as RESHAPE does."""
    if not only_moves(op) or len(op.outputs) != 1:
        return False
    found = real_inputs(op, None)
    return len(found) == 1 and not found[0][1].is_constant


def source_tensor(tensor: Tensor) -> Tensor:
    """Return the tensor from which data-movement ops copied these values."""
    while tensor.producer is not None and moves_data(tensor.producer):
        tensor = real_inputs(tensor.producer, None)[0][1]
    return tensor

"""Multiply–accumulates of an op, computed from shapes, and the input positions of weights.

A multiply–accumulate is one product added to a sum (two FLOPs). Elementwise ops, pooling and softmax count as
none, as is usual in the field; so do the elementwise products inside LSTM cells.

Source: the shapes that the kernels in ``tflite/kernels`` check in their ``Prepare``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from tightfit.graph.ir import Op, Tensor

_LSTM: Final = (*range(1, 9), 16)
_BIDIRECTIONAL_LSTM: Final = (*range(1, 9), 16, *range(18, 26), 33, *range(40, 48))

WEIGHTS: Final[dict[str, tuple[int, ...]]] = {
    "BATCH_MATMUL": (1,),
    "BIDIRECTIONAL_SEQUENCE_LSTM": _BIDIRECTIONAL_LSTM,
    "BIDIRECTIONAL_SEQUENCE_RNN": (1, 2, 5, 6, 10, 11),
    "CONV_2D": (1,),
    "CONV_3D": (1,),
    "CONV_3D_TRANSPOSE": (1,),
    "DEPTHWISE_CONV_2D": (1,),
    "FULLY_CONNECTED": (1,),
    "LSTM": _LSTM,
    "RNN": (1, 2),
    "SVDF": (1, 2),
    "TRANSPOSE_CONV": (1,),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _LSTM,
    "UNIDIRECTIONAL_SEQUENCE_RNN": (1, 2),
}
"""Op kind → input positions of its weights."""


def macs(op: Op) -> int:
    """Return the multiply–accumulates of one run of the op, 0 for ops without any.

    A dynamic dimension counts as in ``Tensor.shape``, as 1.

    Example:
        >>> x, w, y = Tensor("x", (1, 8, 8, 3)), Tensor("w", (16, 3, 3, 3)), Tensor("y", (1, 4, 4, 16))
        >>> macs(Op("CONV_2D", [x, w], [y]))  # 4·4·16 outputs of 3·3·3 products
        6912
    """
    count = _COUNTS.get(op.kind)
    weights = weight_tensors(op)
    if count is None or not weights or not op.outputs or not all(w.shape for w in weights):
        return 0
    return count(op, weights)


def weight_tensors(op: Op) -> list[Tensor]:
    """Return the tensors at the weight positions of an op, without absent ones."""
    found = (op.input(i) for i in WEIGHTS.get(op.kind, ()))
    return [t for t in found if t is not None]


def data_input(op: Op) -> Tensor | None:
    """Return the tensor that the weights are multiplied by, or None."""
    return op.input(2 if op.kind in ("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE") else 0)


def _convolution(op: Op, weights: list[Tensor]) -> int:
    """Count one product for each output and each weight of its filter, (O, H, W, I)."""
    return op.outputs[0].size * math.prod(weights[0].shape[1:])


def _depthwise(op: Op, weights: list[Tensor]) -> int:
    """Count one product for each output and each weight of its channel's filter, (1, H, W, O)."""
    return op.outputs[0].size * math.prod(weights[0].shape[:-1])


def _volume(op: Op, weights: list[Tensor]) -> int:
    """Count one product for each output and each weight of its filter, (D, H, W, I, O)."""
    return op.outputs[0].size * math.prod(weights[0].shape[:-1])


def _transposed(op: Op, weights: list[Tensor]) -> int:
    """Count one product for each input and each weight of its filter, (O, H, W, I) or (D, H, W, O, I)."""
    data = data_input(op)
    return 0 if data is None else data.size * math.prod(weights[0].shape[:-1])


def _dense(op: Op, weights: list[Tensor]) -> int:
    return op.outputs[0].size * weights[0].shape[-1]


def _matmul(op: Op, weights: list[Tensor]) -> int:
    inner = -1 if op.options.get("adjY", False) else -2
    return op.outputs[0].size * weights[0].shape[inner] if len(weights[0].shape) > 1 else 0


def _recurrent(op: Op, weights: list[Tensor]) -> int:
    """Count one product for each weight, time step and sample."""
    data = op.input(0)
    if data is None or not data.shape or not data.shape[-1]:
        return 0
    return data.size // data.shape[-1] * sum(w.size for w in weights)


def _basic_lstm(op: Op, weights: list[Tensor]) -> int:
    """The basic kernel has one weight matrix for all gates at position 2; 1 and 4 are states."""
    merged = op.input(2)
    basic = op.options.get("kernelType", 0) == 1 and merged is not None
    return _recurrent(op, [merged] if basic and merged is not None else weights)


_COUNTS: Final[dict[str, Callable[[Op, list[Tensor]], int]]] = {
    "BATCH_MATMUL": _matmul,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
    "BIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
    "CONV_2D": _convolution,
    "CONV_3D": _volume,
    "CONV_3D_TRANSPOSE": _transposed,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "LSTM": _basic_lstm,
    "RNN": _recurrent,
    "SVDF": _recurrent,
    "TRANSPOSE_CONV": _transposed,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
}

"""Which operands of an op are data, which are parameters, weights and bias; and questions about them.

Compilers judge data by other rules than parameters, so the limits need the difference. ``op_table`` says
what a plan does with an operand, which is another question: the slope of PRELU is a parameter here and data
there.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tightfit.graph.ir import Op, Tensor

_PARAMETERS: Final[dict[str, tuple[int, ...]]] = {
    "ARG_MAX": (1,),
    "ARG_MIN": (1,),
    "BATCH_TO_SPACE_ND": (1, 2),
    "MEAN": (1,),
    "MIRROR_PAD": (1,),
    "PAD": (1,),
    "PADV2": (1, 2),
    "PRELU": (1,),
    "REDUCE_ALL": (1,),
    "REDUCE_ANY": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "REDUCE_PROD": (1,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "REVERSE_V2": (1,),
    "SCATTER_ND": (2,),
    "SLICE": (1, 2),
    "SPACE_TO_BATCH_ND": (1, 2),
    "SPLIT": (0,),
    "SPLIT_V": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "SUM": (1,),
    "TILE": (1,),
    "TOPK_V2": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0,),
}
"""Op → input positions of shapes, axes, paddings, permutations: what vela calls "Params"."""

_WEIGHTS: Final = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1}
_BIAS: Final = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
_LSTM: Final = "UNIDIRECTIONAL_SEQUENCE_LSTM"


def weights(op: Op) -> Tensor | None:
    """Return the weights of a convolution or dense layer, None for other ops."""
    position = _WEIGHTS.get(op.kind)
    return None if position is None else op.input(position)


def bias(op: Op) -> Tensor | None:
    """Return the bias of a convolution or dense layer, None where there is none."""
    position = _BIAS.get(op.kind)
    return None if position is None else op.input(position)


def parameters(op: Op) -> list[Tensor]:
    """Return the shapes, axes, paddings and permutations that an op reads, absent ones left out."""
    found = (op.input(i) for i in _PARAMETERS.get(op.kind, ()))
    return [t for t in found if t is not None]


def data_inputs(op: Op) -> list[Tensor]:
    """Return the feature maps that an op reads, absent ones left out.

    Example:
        >>> x, axes, y = Tensor("x", (1, 4, 4, 2)), Tensor("axes", (2,), "int32"), Tensor("y", (1, 2))
        >>> [t.name for t in data_inputs(Op("MEAN", [x, axes], [y]))]
        ['x']
    """
    if op.kind == _LSTM:
        return [t for t in op.inputs[:1] if t is not None]
    others = {*_PARAMETERS.get(op.kind, ()), _WEIGHTS.get(op.kind), _BIAS.get(op.kind)}
    return [t for i, t in enumerate(op.inputs) if t is not None and i not in others]


def data_tensors(op: Op) -> list[Tensor]:
    """Return the feature maps that an op reads and writes."""
    return [*data_inputs(op), *op.outputs]


def data(op: Op) -> Tensor:
    """Return the first feature map that an op reads, or its output when it reads none."""
    return (data_inputs(op) or op.outputs)[0]


def shape4(tensor: Tensor) -> tuple[int, int, int, int]:
    """Return a shape as batch, height, width, channels; leading ones are added, leading axes merged.

    Example:
        >>> shape4(Tensor("x", (3, 7)))
        (1, 1, 3, 7)
    """
    padded = (1, 1, 1, 1, *tensor.shape)
    n = int(np.prod(padded[:-3]))
    return n, padded[-3], padded[-2], padded[-1]


def values(op: Op, position: int) -> list[int] | None:
    """Return the numbers of a constant operand, None when it is absent or computed at run time."""
    tensor = op.input(position)
    if tensor is None or tensor.data is None:
        return None
    return [int(v) for v in np.asarray(tensor.data).reshape(-1)]


def axes(op: Op) -> list[int]:
    """Return the axes that a reduction reduces, counted from the front; empty when not constant."""
    rank = len(data(op).shape)
    return [a % rank for a in values(op, 1) or [] if rank]


def option(op: Op, name: str, default: Any = 0) -> Any:
    """Return a field of an op's options, a default where the file leaves it out."""
    found = op.options.get(name)
    return default if found is None else found

"""Strides of 1-D layers with few channels become channels: the same products on fewer, wider positions.

A signal (images, length, 1, c) has the memory of (images, length / s, 1, s · c). A convolution with stride s
and k values is one with stride 1 over ⌈k / s⌉ positions there. Integer kernels compute 8 or 16 channels at a
time, so that a raw audio layer (1 channel, 80 values, stride 16) costs an eighth. This is space-to-depth for
one dimension, where it needs no op of its own.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.conversion.windows.window_axis import WindowAxis
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.edits import constant, each_op, is_free_inside, reshape_before
from tightfit.types import Array

_FEW: Final = 4
"""Channels of a layer that is folded; with more, the kernels are filled already."""
_SAME, _VALID = 0, 1


def fold_strides(model: Model) -> list[str]:
    """Turn the stride of 1-D convolutions over at most four channels into channels.

    Condition: CONV_2D of width 1 without groups, or DEPTHWISE_CONV_2D of one channel; stride above 1, no
    dilation, float32, a window of at least the stride; only the first dimension is free.
    """
    return each_op(model, _fold, "Turned the stride of {} over few channels into channels.")


def _fold(graph: Graph, op: Op, kept: set[Tensor]) -> bool:
    del kept
    x, weight = op.input(0), _as_convolution(op)
    if x is None or weight is None or is_free_inside(x) or x.dtype != "float32":
        return False
    images, length, _, channels = x.shape
    stride = op.options["strideH"]
    window = weight.shape[1]
    valid = op.options.get("padding", _SAME) == _VALID
    low, high = (0, 0) if valid else WindowAxis(length, window, stride).same_pads()
    positions = -(-window // stride)
    wanted = stride * ((length + low + high - window) // stride + positions)
    after = wanted - length - low
    if after < 0:
        x, after = _cut(op, x, wanted - low), 0
    if low or after:
        x = _pad(op, x, low, after)
    folded = reshape_before(op, x, (images, wanted // stride, 1, stride * channels), f"{op.name}/folded")
    graph.set_input(op, 0, folded)
    values = _folded(weight, positions, stride)
    old = op.inputs[1]
    graph.set_input(op, 1, Tensor(old.name if old is not None else "weight", values.shape, "float32", values))
    op.kind, op.options_type, op.version = "CONV_2D", "Conv2DOptions", 0
    op.options = {k: v for k, v in op.options.items() if k != "depthMultiplier"}
    op.options |= {"padding": _VALID, "strideH": 1, "strideW": 1}
    return True


def _as_convolution(op: Op) -> Array | None:
    """The weights of a layer to fold as (outputs, window, 1, channels); None where it is none."""
    x, weight = op.input(0), op.input(1)
    if op.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D") or x is None or weight is None or weight.data is None:
        return None
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    if weight.dtype != "float32" or weight.sparsity is not None or x.shape[2] != 1 or x.shape[3] > _FEW:
        return None
    values: Array = weight.data.transpose(3, 1, 2, 0) if depthwise else weight.data
    window, stride = values.shape[1], op.options.get("strideH", 1)
    dilated = any(op.options.get(f"dilation{d}Factor", 1) > 1 for d in "HW")
    whole = values.shape[2:] == (1, x.shape[3]) and (x.shape[3] == 1 or not depthwise)
    return values if whole and not dilated and 1 < stride <= window else None


def _folded(weight: Array, positions: int, stride: int) -> Array:
    outputs, window, _, channels = weight.shape
    wide = np.pad(weight, ((0, 0), (0, positions * stride - window), (0, 0), (0, 0)))
    return np.ascontiguousarray(wide.reshape(outputs, positions, 1, stride * channels))


def _pad(op: Op, x: Tensor, low: int, high: int) -> Tensor:
    widths = constant(f"{op.name}/widths", [(0, 0), (low, high), (0, 0), (0, 0)])
    shape = (x.shape[0], x.shape[1] + low + high, *x.shape[2:])
    signature = (-1, *shape[1:]) if -1 in (x.shape_signature or ()) else None
    result = Tensor(f"{op.name}/padded", shape, shape_signature=signature)
    op.owner.insert_before(op, Op("PAD", [x, widths], [result], {}, "PadOptions"))
    return result


def _cut(op: Op, x: Tensor, length: int) -> Tensor:
    """The values that a window reads: the last ones may be left over."""
    begin, sizes = constant(f"{op.name}/begin", [0] * 4), constant(f"{op.name}/sizes", [-1, length, -1, -1])
    shape = (x.shape[0], length, *x.shape[2:])
    signature = (-1, *shape[1:]) if -1 in (x.shape_signature or ()) else None
    result = Tensor(f"{op.name}/cut", shape, shape_signature=signature)
    op.owner.insert_before(op, Op("SLICE", [x, begin, sizes], [result], {}, "SliceOptions"))
    return result

"""Limits on reductions, products of activations, slopes and recurrence. See ``tensor_limits``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tightfit.graph.ir import Op
from tightfit.targets.limits.operand_roles import axes, data, option, shape4, values


def mean_axis(op: Op, *, most: int) -> str | None:
    """A reduced axis has at most {most} places.

    Fix: --fix splits the axis in two, or reduces one axis after the other.
    """
    longest = max((data(op).shape[a] for a in axes(op)), default=0)
    return None if longest <= most else f"one has {longest}"


def mean_elements(op: Op, *, int8: int, uint8: int, int16: int) -> str | None:
    """At most {int8} int8, {uint8} uint8 or {int16} int16 values are averaged.

    Fix: --fix splits a MEAN in two, one axis after the other.
    """
    most = {"int8": int8, "uint8": uint8, "int16": int16}.get(data(op).dtype, int8)
    count = math.prod(data(op).shape[a] for a in axes(op))
    return None if count <= most else f"{count} are"


def mean_depth(op: Op) -> str | None:
    """Channels are averaged only where height, width or channels are 1.

    Fix: --fix reshapes the channels to the width.
    """
    shape = data(op).shape
    if len(shape) - 1 not in axes(op) or 1 in shape4(data(op))[1:]:
        return None
    return f"the input is {list(shape)}"


def not_over_batch(op: Op) -> str | None:
    """The batch axis stays as it is.

    Fix: convert with batch 1, so that the op has nothing to do there.
    """
    shape = data(op).shape
    touched = [a for a in axes(op) if a == 0 and len(shape) == 4 and shape[0] > 1]
    return "it reduces the batch" if touched else None


def softmax_rows(op: Op, *, most: int) -> str | None:
    """A softmax has at most {most} rows: height × width.

    Fix: split the input and concatenate the results.
    """
    _, height, width, _ = shape4(data(op))
    return None if height * width <= most else f"it has {height * width}"


def softmax_length(op: Op, *, most: int) -> str | None:
    """A softmax is over at most {most} values of a 1-D input.

    Fix: leave the softmax out; the order of the logits is the same.
    """
    shape = data(op).shape
    flat = math.prod(shape[:-1]) == 1
    return None if flat and shape[-1] <= most else f"the input is {list(shape)}"


def softmax_beta(op: Op, *, beta: float) -> str | None:
    """The softmax has beta {beta}.

    Fix: scale the logits in the layer before.
    """
    found = option(op, "beta", 1.0)
    return None if found == beta else f"it is {found}"


def argmax_depth(op: Op, *, most: int) -> str | None:
    """ARG_MAX is over the last axis, of at most {most} values.

    Fix: take the argmax in the application; the model then returns the scores.
    """
    shape, axis = data(op).shape, (values(op, 1) or [0])[0]
    if axis % max(1, len(shape)) == len(shape) - 1 and shape[-1] <= most:
        return None
    return f"it is over axis {axis} of {list(shape)}"


def matmul_depth(op: Op, *, most: int) -> str | None:
    """A product of two activations sums and returns at most {most} values for each row.

    Fix: split the product over the axis that is too long.
    """
    depth = max(data(op).shape[-1], op.outputs[0].shape[-1])
    return None if depth <= most else f"it has {depth}"


def dynamic_dense(op: Op, *, types: Sequence[str], most: int) -> str | None:
    """Dense weights computed at run time need {types} inputs and at most {most} values a row.

    Fix: make the weights constant, or use int8 activations.
    """
    kernel = op.input(1)
    if kernel is None or kernel.is_constant:
        return None
    wrong = data(op).dtype not in types
    return f"the input is {data(op).dtype}" if wrong else matmul_depth(op, most=most)


def plain_lstm(op: Op) -> str | None:
    """An LSTM has all gates, and neither peephole, projection nor layer normalization.

    Fix: use a plain LSTM cell.
    """
    gates = all(op.input(i) is not None for i in range(1, 9))
    extra = [i for i in (*range(9, 12), 16, 17, *range(20, 24)) if op.input(i) is not None]
    return None if gates and not extra else "it has less or more"


def channel_slope(op: Op) -> str | None:
    """The slope of PRELU has one value for each channel.

    Fix: train with the slope shared over height and width.
    """
    slope = op.input(1)
    if slope is None or slope.size in (1, slope.shape[-1]):
        return None
    return f"its shape is {list(slope.shape)}"


def slope_type(op: Op) -> str | None:
    """The slope of PRELU is not int8 where the input is int16, unless all slopes are equal.

    Fix: keep PRELU in int8: quantize with --override PRELU=int8.
    """
    slope = op.input(1)
    if slope is None or slope.dtype != "int8" or data(op).dtype != "int16":
        return None
    return None if len(set(values(op, 1) or [0, 1])) == 1 else "it is int8"

"""Limits on reductions, movements, resizes, activations and recurrence. See ``tensor_limits``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

from tightfit.graph.ir import Op
from tightfit.targets.operands import axes, data, data_inputs, data_tensors, option, parameters, shape4, values

FUSED: Final = {0: "", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}
"""ActivationFunctionType of ``schema.fbs`` → the op that it stands for."""


def fused_activation(op: Op, *, known: Sequence[str], types: Sequence[str]) -> str | None:
    """A fused activation is {known} on {types}.

    Fix: keep the activation as an op of its own.
    """
    name = FUSED.get(int(option(op, "fusedActivationFunction")), "unknown")
    if not name or (name in known and op.outputs[0].dtype in types):
        return None
    return f"{name} on {op.outputs[0].dtype}"


def no_fused_activation(op: Op) -> str | None:
    """No activation is fused into the op.

    Fix: keep the activation as an op of its own.
    """
    name = FUSED.get(int(option(op, "fusedActivationFunction")), "unknown")
    return f"{name} is" if name else None


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



def not_padding_batch(op: Op) -> str | None:
    """The batch axis is not padded.

    Fix: pad height and width only.
    """
    amounts = values(op, 1) or []
    return "it pads the batch" if len(data(op).shape) > 3 and any(amounts[:2]) else None


def padding_not_negative(op: Op) -> str | None:
    """No padding is negative.

    Fix: crop with a SLICE.
    """
    return f"it pads by {min(values(op, 1) or [0])}" if min(values(op, 1) or [0]) < 0 else None


def unit_strides(op: Op, *, axes_free: Sequence[int] = ()) -> str | None:
    """Slices step by 1, save over the axes {axes_free}, counted from the back.

    Fix: reshape so that the stepped axis is height or width.
    """
    steps = values(op, 3) or []
    rank = len(data(op).shape)
    wrong = [s for i, s in enumerate(steps) if s < 0 or (s != 1 and i - rank not in axes_free)]
    return f"it steps by {wrong[0]}" if wrong else None


def plain_slice(op: Op, *, masks: Sequence[str]) -> str | None:
    """A slice has none of {masks}.

    Fix: put a RESHAPE after the slice instead.
    """
    found = [name for name in masks if option(op, name)]
    return f"it has {', '.join(found)}" if found else None


def transpose_rank(op: Op, *, most: int) -> str | None:
    """At most {most} axes are permuted.

    Fix: merge axes that stay together.
    """
    return None if len(data(op).shape) <= most else f"{len(data(op).shape)} are"


def transpose_32bit(op: Op) -> str | None:
    """32-bit tensors keep their order, or swap height with width, or width with channels.

    Fix: transpose before the values become 32 bits wide.
    """
    if data(op).dtype not in ("int32", "uint32", "float32"):
        return None
    order, shape = _order(op), shape4(data(op))
    n, h, w, c = shape
    fits = {
        (0, 1, 2, 3): c <= 1 << 15,
        (0, 2, 1, 3): n == 1 and max(h, w) <= 1 << 16 and c <= 1 << 14,
        (0, 1, 3, 2): n * h <= 1 << 16 and max(w, c) <= 1 << 16,
    }
    return None if len(data(op).shape) <= 4 and fits.get(order) else f"it permutes {list(shape)} by {list(order)}"


def transpose_16bit(op: Op, *, most: int) -> str | None:
    """The product of all but two permuted axes is at most {most}; a 3-D image's sides are at most {most}.

    Fix: transpose in two steps.
    """
    shape, order = data(op).shape, _order(op)
    if data(op).dtype not in ("int8", "uint8", "int16") or order == tuple(range(len(order))):
        return None
    image = math.prod(shape[:-3]) == 1
    if image and order[0] == 0:
        return None if max(shape4(data(op))[1:]) <= most else f"the input is {list(shape)}"
    pairs = itertools.combinations(shape, 2)
    product = max((math.prod(shape) // max(1, a * b) for a, b in pairs), default=1)
    return None if product <= most else f"the input is {list(shape)}"


def _order(op: Op) -> tuple[int, ...]:
    """The permutation, padded in front to four axes."""
    found = values(op, 1) or []
    missing = max(0, 4 - len(found))
    return (*range(missing), *(p + missing for p in found))


def reverse_nothing(op: Op) -> str | None:
    """No axis longer than 1 is reversed.

    Fix: reverse the data before the model, or mirror the weights of the next convolution.
    """
    found = [a for a in values(op, 1) or [] if data(op).shape[a] > 0]
    return f"it reverses {found}" if found else None


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


def equal_shapes(op: Op) -> str | None:
    """Input and output have the same shape.

    Fix: reshape before or after the op.
    """
    shapes = [list(data(op).shape), list(op.outputs[0].shape)]
    return None if shapes[0] == shapes[1] else f"they are {shapes[0]} and {shapes[1]}"


def axis_is_batch(op: Op) -> str | None:
    """The gathered axis equals ``batch_dims``.

    Fix: --fix turns a GATHER with constant indices into slices.
    """
    axis = int(option(op, "axis")) % max(1, len(data(op).shape))
    return None if axis == int(option(op, "batchDims")) else f"the axis is {axis}"


def matmul_depth(op: Op, *, most: int) -> str | None:
    """A product of two activations sums and returns at most {most} values for each row.

    Fix: split the product over the axis that is too long.
    """
    depth = max(data(op).shape[-1], op.outputs[0].shape[-1])
    return None if depth <= most else f"it has {depth}"


def depth_multiplier(op: Op) -> str | None:
    """The output's channels are the input's × the depth multiplier.

    Fix: convert the layer again.
    """
    channels = data(op).shape[-1] * int(option(op, "depthMultiplier", 1)), op.outputs[0].shape[-1]
    return None if channels[0] == channels[1] else f"{channels[1]}, expected {channels[0]}"


def outputs_at_most(op: Op, *, most: int) -> str | None:
    """The op has at most {most} outputs.

    Fix: split in two steps.
    """
    return None if len(op.outputs) <= most else f"it has {len(op.outputs)}"


def inputs_between(op: Op, *, least: int, most: int) -> str | None:
    """The op has {least} to {most} inputs.

    Fix: join in two steps.
    """
    found = len(data_inputs(op))
    return None if least <= found <= most else f"it has {found}"


def channel_slope(op: Op) -> str | None:
    """The slope of PRELU has one value for each channel.

    Fix: train with the slope shared over height and width.
    """
    slope = op.input(1)
    if slope is None or slope.size in (1, slope.shape[-1]):
        return None
    return f"its shape is {list(slope.shape)}"


def slope_type(op: Op) -> str | None:
    """The slope of PRELU is not int8 where the input is int16.

    Fix: keep PRELU in int8: quantize with --override PRELU=int8.
    """
    slope = op.input(1)
    mixed = slope is not None and slope.dtype == "int8" and data(op).dtype == "int16"
    return "it is int8" if mixed else None


def plain_lstm(op: Op) -> str | None:
    """An LSTM has all gates, and neither peephole, projection nor layer normalization.

    Fix: use a plain LSTM cell.
    """
    gates = all(op.input(i) is not None for i in range(1, 9))
    extra = [i for i in (*range(9, 12), 16, 17, *range(20, 24)) if op.input(i) is not None]
    return None if gates and not extra else "it has less or more"


def broadcasts(op: Op) -> str | None:
    """Each dimension of both inputs is 1 or the output's.

    Fix: reshape the inputs.
    """
    wide = op.outputs[0].shape
    shapes = [(1,) * (len(wide) - len(t.shape)) + t.shape for t in data_inputs(op)[:2]]
    fits = all(len(s) == len(wide) and all(d in (1, o) for d, o in zip(s, wide, strict=True)) for s in shapes)
    return None if fits else f"the inputs are {[list(t.shape) for t in data_inputs(op)[:2]]}"


def innermost_permutation(op: Op) -> str | None:
    """The permutation is a constant as long as the input's rank.

    Fix: convert again.
    """
    found = parameters(op)
    return None if found and found[0].size == len(data_tensors(op)[0].shape) else "it is not"


def unique_indices(op: Op) -> str | None:
    """Indices and shape are constants; indices are unique, one number each.

    Fix: compute the positions before the model.
    """
    indices, shape = op.input(0), op.input(2)
    if indices is None or shape is None or not (indices.is_constant and shape.is_constant):
        return "they are computed at run time"
    found = values(op, 0) or []
    plain = indices.shape[-1:] == (1,) and len(set(found)) == len(found)
    return None if plain else f"their shape is {list(indices.shape)}"


def dynamic_dense(op: Op, *, types: Sequence[str], most: int) -> str | None:
    """Dense weights computed at run time need {types} inputs and at most {most} values in and out of each row.

    Fix: make the weights constant, or use int8 activations.
    """
    kernel = op.input(1)
    if kernel is None or kernel.is_constant:
        return None
    wrong = data(op).dtype not in types
    return f"the input is {data(op).dtype}" if wrong else matmul_depth(op, most=most)

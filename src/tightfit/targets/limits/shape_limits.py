"""Limits on reductions, movements, resizes, activations and recurrence. See ``tensor_limits``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from tightfit.graph.ir import Op
from tightfit.graph.ops import activations
from tightfit.targets.limits.operand_roles import (
    data,
    data_inputs,
    data_tensors,
    option,
    parameters,
    shape4,
    values,
)


def fused_activation(op: Op, *, known: Sequence[str], types: Sequence[str]) -> str | None:
    """A fused activation is {known} on {types}.

    Fix: keep the activation as an op of its own.
    """
    name = activations.fused_activation(op)
    if not name or (name in known and op.outputs[0].dtype in types):
        return None
    return f"{name} on {op.outputs[0].dtype}"


def no_fused_activation(op: Op) -> str | None:
    """No activation is fused into the op.

    Fix: keep the activation as an op of its own.
    """
    name = activations.fused_activation(op)
    return f"{name} is" if name else None


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
    fits: dict[tuple[int, ...], bool] = {
        (0, 1, 2, 3): c <= 1 << 15,
        (0, 2, 1, 3): n == 1 and max(h, w) <= 1 << 16 and c <= 1 << 14,
        (0, 1, 3, 2): n * h <= 1 << 16 and max(w, c) <= 1 << 16,
    }
    return (
        None
        if len(data(op).shape) <= 4 and fits.get(order)
        else f"it permutes {list(shape)} by {list(order)}"
    )


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
    """No axis is reversed.

    Fix: reverse the data before the model, or mirror the weights of the next convolution.
    """
    found = values(op, 1) if op.kind == "REVERSE_V2" else None
    return f"it reverses {found}" if found else None


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


def broadcasts(op: Op) -> str | None:
    """One input has the output's shape, or both broadcast to it.

    Fix: reshape the inputs.
    """
    wide = op.outputs[0].shape
    shapes = [(1,) * (len(wide) - len(t.shape)) + t.shape for t in data_inputs(op)[:2]]
    fits = all(len(s) == len(wide) and all(d in (1, o) for d, o in zip(s, wide, strict=True)) for s in shapes)
    return (
        None if fits or wide in shapes else f"the inputs are {[list(t.shape) for t in data_inputs(op)[:2]]}"
    )


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

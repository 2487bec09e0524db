"""Ops on fewer than four dimensions written on four, with batch 1: the same arithmetic, equal to the bit.

A GPU reads the first of fewer than four dimensions as the batch, and constants, paddings and running sums
along a batch go wrong there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tightfit.graph.ir import Op, Tensor
from tightfit.targets.fixes.fix_constants import changed, stored
from tightfit.targets.fixes.fix_layout import constant
from tightfit.targets.fixes.fix_reduction import reshape, reshape_to
from tightfit.targets.limits.operand_roles import axes, option, values
from tightfit.targets.partition import is_unpacking


def four_dimensions(op: Op) -> list[Op] | None:
    """Return an op of two operands with both reshaped to four dimensions, the constant in the file.

    [a, b] becomes [1, 1, a, b]. Of four dimensions, a computed operand of batch 1 is repeated to the
    constant's batch. Of two computed operands the one with fewer dimensions gets as many as the other.
    """
    a, b, target = op.input(0), op.input(1), op.outputs[0]
    if a is None or b is None or len(target.shape) > 4:
        return None
    if stored(a) is None and stored(b) is None:
        return _same_ranks(op, a, b)
    if stored(a) is not None and stored(b) is not None:
        return None
    made: list[Op] = []
    operands = [_four(t, op.name, i, made) for i, t in enumerate((a, b))]
    batch = max(t.shape[0] for t in operands)
    operands = [_repeated(t, batch, made) for t in operands]
    shape = (1,) * (4 - len(target.shape)) + target.shape
    wide = Tensor(f"{op.name}/wide", shape, target.dtype, quantization=target.quantization)
    made.append(Op(op.kind, list(operands), [wide], dict(op.options), op.options_type))
    return [*made, reshape_to(wide, target)]


def _same_ranks(op: Op, a: Tensor, b: Tensor) -> list[Op] | None:
    """The op with the computed operand of fewer dimensions reshaped to as many as the other has."""
    if len(a.shape) == len(b.shape):
        return None
    small, large = sorted((a, b), key=lambda t: len(t.shape))
    shape = (1,) * (len(large.shape) - len(small.shape)) + small.shape
    wide, before = reshape(small, shape, f"operand{op.inputs.index(small)}")
    operands = [wide if t is small else t for t in op.inputs]
    return [before, Op(op.kind, operands, list(op.outputs), dict(op.options), op.options_type)]


def _four(tensor: Tensor, name: str, position: int, made: list[Op]) -> Tensor:
    shape = (1,) * (4 - len(tensor.shape)) + tensor.shape
    if stored(tensor) is not None:
        return changed(tensor, lambda values: values.reshape(shape), f"{name}/operand{position}", made)
    if len(tensor.shape) == 4:
        return tensor
    found, op = reshape(tensor, shape, f"operand{position}")
    made.append(op)
    return found


def _repeated(tensor: Tensor, batch: int, made: list[Op]) -> Tensor:
    """The tensor with a batch of 1 repeated; constants stay, they broadcast as they are."""
    constant_too = tensor.producer is not None and is_unpacking(tensor.producer)
    if tensor.is_constant or constant_too or tensor.shape[0] == batch:
        return tensor
    found, op = tiled(tensor, (batch, 1, 1, 1), f"{tensor.name}/batch")
    made.append(op)
    return found


def argmax_of_width(op: Op) -> list[Op] | None:
    """Return an ARG_MAX over the last of several dimensions as one over the width of [1, rows, n, 1]."""
    source, target = op.input(0), op.outputs[0]
    if source is None or len(source.shape) < 2 or axes(op) != [len(source.shape) - 1]:
        return None
    rows, count = math.prod(source.shape[:-1]), source.shape[-1]
    image, before = reshape(source, (1, rows, count, 1), "width")
    places = Tensor(f"{op.name}/places", (1, rows, 1), target.dtype)
    along = constant(f"{op.name}/axis", [2])
    return [
        before,
        Op("ARG_MAX", [image, along], [places], dict(op.options), op.options_type),
        reshape_to(places, target),
    ]


def reversed_width(op: Op) -> list[Op] | None:
    """Return a REVERSE_V2 of the last of several dimensions as one of the width of [1, rows, n, 1]."""
    source, target = op.input(0), op.outputs[0]
    if source is None or len(source.shape) < 2 or axes(op) != [len(source.shape) - 1]:
        return None
    shape = (1, math.prod(source.shape[:-1]), source.shape[-1], 1)
    image, before = reshape(source, shape, "width")
    turned = Tensor(f"{op.name}/turned", shape, target.dtype, quantization=target.quantization)
    along = constant(f"{op.name}/axis", [2])
    return [
        before,
        Op("REVERSE_V2", [image, along], [turned], dict(op.options), op.options_type),
        reshape_to(turned, target),
    ]


def tiled(source: Tensor, times: Sequence[int], name: str) -> tuple[Tensor, Op]:
    """Return a tensor repeated along its axes, and the TILE that makes it."""
    shape = [d * n for d, n in zip(source.shape, times, strict=True)]
    made = Tensor(name, shape, source.dtype, quantization=source.quantization)
    return made, Op("TILE", [source, constant(f"{name}/times", list(times))], [made], {}, "TileOptions")


def pad_in_four(op: Op) -> list[Op] | None:
    """Return a padding of at most three dimensions, or of a batch alone, written on [1, …]."""
    source, target, amounts = op.input(0), op.outputs[0], values(op, 1)
    if source is None or amounts is None or not source.shape or len(source.shape) > 4:
        return None
    pairs = [amounts[i : i + 2] for i in range(0, len(amounts), 2)]
    if len(source.shape) == 4:
        if any(any(pair) for pair in pairs[1:]):
            return None
        shape: tuple[int, ...] = (1, source.shape[0], math.prod(source.shape[1:]), 1)
        after: tuple[int, ...] = (1, target.shape[0], math.prod(source.shape[1:]), 1)
        pairs = [[0, 0], pairs[0], [0, 0], [0, 0]]
    else:
        extra = 4 - len(source.shape)
        shape, after = (1,) * extra + source.shape, (1,) * extra + target.shape
        pairs = [[0, 0]] * extra + pairs
    wide, first = reshape(source, shape, "wide")
    padded = Tensor(f"{op.name}/padded", after, target.dtype, quantization=target.quantization)
    inputs = [wide, constant(f"{op.name}/amounts", pairs), *op.inputs[2:]]
    return [
        first, Op(op.kind, inputs, [padded], dict(op.options), op.options_type), reshape_to(padded, target),
    ]  # fmt: skip


def forward_sum(op: Op) -> list[Op] | None:
    """Return an inclusive running sum along the third of four dimensions, with what turns and shifts it.

    A sum from the end is one from the start of the reversed values; an exclusive one is shifted by a zero.
    """
    source, target, over = op.input(0), op.outputs[0], axes(op)
    if source is None or len(over) != 1 or source.dtype != "float32":
        return None
    axis, n = over[0], source.shape[over[0]]
    image = (1, math.prod(source.shape[:axis]), n, math.prod(source.shape[axis + 1 :]))
    flat, first = reshape(source, image, "image")
    made, value = [first], flat
    backwards = bool(option(op, "reverse", default=False))
    if backwards:
        value = _turned(value, f"{op.name}/turned", made)
    value = _summed(value, f"{op.name}/sum", made)
    if option(op, "exclusive", default=False):
        value = _shifted(value, f"{op.name}/shifted", made)
    if backwards:
        value = _turned(value, f"{op.name}/back", made)
    return [*made, reshape_to(value, target)]


def _next(source: Tensor, name: str, shape: Sequence[int] | None = None) -> Tensor:
    return Tensor(name, source.shape if shape is None else shape, source.dtype)


def _turned(source: Tensor, name: str, made: list[Op]) -> Tensor:
    found = _next(source, name)
    made.append(Op("REVERSE_V2", [source, constant(f"{name}/axis", [2])], [found], {}, "ReverseV2Options"))
    return found


def _summed(source: Tensor, name: str, made: list[Op]) -> Tensor:
    found, options = _next(source, name), {"exclusive": False, "reverse": False}
    axis = Tensor(f"{name}/axis", (), "int32", np.array(2, np.int32))
    made.append(Op("CUMSUM", [source, axis], [found], options, "CumsumOptions"))
    return found


def _shifted(source: Tensor, name: str, made: list[Op]) -> Tensor:
    """A zero in front along the third dimension, the last value left out."""
    one, outer, n, inner = source.shape
    longer = _next(source, f"{name}/longer", (one, outer, n + 1, inner))
    amounts = constant(f"{name}/amounts", [[0, 0], [0, 0], [1, 0], [0, 0]])
    found = _next(source, name)
    begin, size = constant(f"{name}/begin", [0] * 4), constant(f"{name}/size", list(source.shape))
    made.append(Op("PAD", [source, amounts], [longer], {}, "PadOptions"))
    made.append(Op("SLICE", [longer, begin, size], [found], {}, "SliceOptions"))
    return found


def softmax_row(op: Op) -> list[Op] | None:
    """Return SOFTMAX of one dimension as that of a row."""
    source, target = op.input(0), op.outputs[0]
    if source is None or len(source.shape) != 1:
        return None
    row, first = reshape(source, (1, *source.shape), "row")
    shares = Tensor(f"{op.name}/row", row.shape, target.dtype, quantization=target.quantization)
    return [
        first,
        Op(op.kind, [row], [shares], dict(op.options), op.options_type),
        reshape_to(shares, target),
    ]

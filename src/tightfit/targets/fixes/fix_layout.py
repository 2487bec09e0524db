"""Movements written with ops that more accelerators take; all give the same results to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tightfit.graph.ir import Op, Tensor
from tightfit.targets.fixes.fix_reduction import reshape, reshape_to
from tightfit.targets.limits.operand_roles import data, option, shape4, values


def repeat_pixels(op: Op) -> list[Op] | None:
    """Return RESHAPE and TILE for a nearest-neighbour resize by integers, None for others.

    [1, H, W, C] → [1, H, 1, W·C] repeated over the third axis gives the rows, [1, fH·W, 1, C] the columns.
    """
    source, target = data(op), op.outputs[0]
    (n, h, w, c), (_, rows, columns, _) = shape4(source), shape4(target)
    aligned = option(op, "alignCorners")
    if n != 1 or aligned or rows % h or columns % w or not source.is_quantized:
        return None
    wide, first = reshape(source, (1, h, 1, w * c), "rows")
    tall, second = _tile(wide, rows // h)
    thin, third = reshape(tall, (1, rows * w, 1, c), "columns")
    full, fourth = _tile(thin, columns // w)
    return [first, second, third, fourth, reshape_to(full, target)]


def _tile(source: Tensor, times: int) -> tuple[Tensor, Op]:
    n, h, _, c = source.shape
    made = Tensor(f"{source.name}/tiled", (n, h, times, c), source.dtype, quantization=source.quantization)
    return made, Op(
        "TILE", [source, constant(f"{made.name}/times", [1, 1, times, 1])], [made], {}, "TileOptions"
    )


def depth_to_space(op: Op) -> list[Op] | None:
    """Return RESHAPE → TRANSPOSE → RESHAPE: [H, W, b, b·C] → [H, b, W, b·C]."""
    (n, h, w, c), block = shape4(data(op)), int(option(op, "blockSize", 1))
    if block < 1 or c % (block * block):
        return None
    return _swapped(op, (n * h, w, block, c // block))


def space_to_depth(op: Op) -> list[Op] | None:
    """Return RESHAPE → TRANSPOSE → RESHAPE: [H/b, b, W/b, b·C] → [H/b, W/b, b, b·C]."""
    (n, h, w, c), block = shape4(data(op)), int(option(op, "blockSize", 1))
    if block < 1 or h % block or w % block:
        return None
    return _swapped(op, (n * h // block, block, w // block, block * c))


def _swapped(op: Op, shape: tuple[int, int, int, int]) -> list[Op]:
    """The op's input reshaped, its middle axes swapped, and reshaped to the op's output."""
    a, b, c, d = shape
    parts, first = reshape(data(op), shape, "blocks")
    swapped = Tensor(f"{op.name}/swapped", (a, c, b, d), parts.dtype, quantization=parts.quantization)
    order = constant(f"{op.name}/order", [0, 2, 1, 3])
    return [
        first,
        Op("TRANSPOSE", [parts, order], [swapped], {}, "TransposeOptions"),
        reshape_to(swapped, op.outputs[0]),
    ]


def gather_slices(op: Op) -> list[Op] | None:
    """Return a SLICE for each run of neighbouring constant indices, and a CONCATENATION of them."""
    source, target, indices = data(op), op.outputs[0], values(op, 1)
    rank, axis = len(source.shape), int(option(op, "axis"))
    if not indices or option(op, "batchDims") or rank > 4:
        return None
    axis %= rank
    found = [
        _slice(source, axis, start, count, f"{op.name}/{i}")
        for i, (start, count) in enumerate(_runs(indices))
    ]
    pieces = [o.outputs[0] for o in found]
    joined = pieces[0]
    if len(pieces) > 1:
        shape = [len(indices) if i == axis else d for i, d in enumerate(source.shape)]
        joined = Tensor(f"{op.name}/joined", shape, source.dtype, quantization=source.quantization)
        options = {"axis": axis, "fusedActivationFunction": 0}
        found.append(Op("CONCATENATION", list(pieces), [joined], options, "ConcatenationOptions"))
    return [*found, reshape_to(joined, target)]


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """(first, count) of each run of indices that grow by 1."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and index == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((index, 1))
    return runs


def _slice(source: Tensor, axis: int, start: int, count: int, name: str) -> Op:
    begin = [start if i == axis else 0 for i in range(len(source.shape))]
    size = [count if i == axis else d for i, d in enumerate(source.shape)]
    made = Tensor(name, size, source.dtype, quantization=source.quantization)
    return Op(
        "SLICE",
        [source, constant(f"{name}/begin", begin), constant(f"{name}/size", size)],
        [made],
        {},
        "SliceOptions",
    )


def constant(name: str, numbers: Sequence[object]) -> Tensor:
    """Return an int32 constant."""
    stored = np.array(numbers, np.int32)
    return Tensor(name, stored.shape, "int32", stored)

"""STABLEHLO_REDUCE_WINDOW becomes pooling: MAX_POOL_2D, AVERAGE_POOL_2D, CUMSUM, or slices that are combined.

A window over one dimension is one over a height, with a width of 1; a window over three is one over two and
one over the third, as the maximum and the sum are separable. AVERAGE_POOL_2D divides by the number of values
that lie inside; a factor corrects it to the sum, and joins the division that follows.
Source: ``reduce_window`` of the StableHLO specification; ``pooling.cc`` and ``padding.h`` of LiteRT.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from tightfit.conversion.windows.window_axis import WindowAxis
from tightfit.conversion.windows.window_padding import pad_window
from tightfit.conversion.windows.window_scaling import scale_sum
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.edits import constant, each_op, is_free_inside, reshape_before
from tightfit.graph.passes.unused_graphs import remove_unused_graphs
from tightfit.types import Array

_LOWEST: Final = float(np.finfo(np.float32).min)
_NEUTRAL: Final = {
    "MAXIMUM": lambda v: v <= _LOWEST,
    "MINIMUM": lambda v: v >= -_LOWEST,
    "ADD": lambda v: v == 0,
}
_NUMPY: Final[dict[str, Any]] = {"MAXIMUM": np.maximum, "MINIMUM": np.minimum, "ADD": np.add}
_MOST_SLICES: Final = 64
_POOL: Final = {"MAXIMUM": "MAX_POOL_2D", "ADD": "AVERAGE_POOL_2D"}


@dataclass(frozen=True)
class Window:
    """What a STABLEHLO_REDUCE_WINDOW computes.

    Args:
        combine: MAXIMUM, MINIMUM or ADD.
        start: the value that padding counts as.
        axes: one entry a dimension of the operand.
    """

    combine: str
    start: float
    axes: tuple[WindowAxis, ...]

    def active(self) -> list[int]:
        """Return the dimensions along which a window does anything."""
        return [i for i, axis in enumerate(self.axes) if not axis.is_trivial]


def lower_windows(model: Model) -> list[str]:
    """Turn STABLEHLO_REDUCE_WINDOW into ops that quantize, train and run on microcontrollers.

    Condition: float32, combined by maximum, minimum or sum from their neutral value, without base dilation,
    and no dimension but the first is free.
    """
    folded = each_op(model, lambda g, op, kept: _fold(model, g, op, kept), "Computed {} of constant windows.")
    lowered = each_op(model, lambda g, op, kept: _lower(model, g, op, kept), "Wrote {} as pooling.")
    if lowered or folded:
        remove_unused_graphs(model)
    return [*folded, *lowered]


def read_window(model: Model, op: Op) -> Window | None:
    """Return what a reduction over windows computes, None where it is none that has other ops."""
    if op.kind != "STABLEHLO_REDUCE_WINDOW" or len(op.inputs) != 2 or len(op.outputs) != 1:
        return None
    operand, start = op.inputs
    combine = _combined_by(model, op)
    if (
        operand is None
        or start is None
        or start.data is None
        or combine is None
        or operand.dtype != "float32"
    ):
        return None
    value = float(np.asarray(start.data).reshape(()))
    rank = len(operand.shape)
    axes = _axes(op, operand.shape)
    if len(axes) != rank or not _NEUTRAL[combine](value) or any(a.base != 1 for a in axes):
        return None
    return Window(combine, value, axes)


def _axes(op: Op, shape: Sequence[int]) -> tuple[WindowAxis, ...]:
    rank = len(shape)
    listed = [_numbers(op, name, rank) for name in
              ("windowDimensions", "windowStrides", "windowDilations", "baseDilations")]  # fmt: skip
    pads = _numbers(op, "padding", 2 * rank, default=0)
    rows = zip(shape, *listed, zip(pads[::2], pads[1::2], strict=True), strict=True)
    return tuple(WindowAxis(*row) for row in rows)


def _numbers(op: Op, name: str, count: int, default: int = 1) -> list[int]:
    values = op.options.get(name)
    return [default] * count if values is None or len(values) == 0 else [int(v) for v in values]


def _combined_by(model: Model, op: Op) -> str | None:
    """The op that the body applies to its two arguments."""
    index = op.options.get("bodySubgraphIndex", -1)
    if not 0 <= index < len(model.graphs):
        return None
    body = model.graphs[index]
    if len(body.ops) != 1 or body.ops[0].kind not in _NEUTRAL or body.outputs != body.ops[0].outputs:
        return None
    inner = body.ops[0]
    fused = inner.options.get("fusedActivationFunction", 0)
    return (
        inner.kind if set(inner.inputs) == set(body.inputs) and len(body.inputs) == 2 and not fused else None
    )


# -- constants -------------------------------------------------------------------------------------


def _fold(model: Model, graph: Graph, op: Op, kept: set[Tensor]) -> bool:
    window, operand = read_window(model, op), op.input(0)
    if window is None or operand is None or operand.data is None or not kept.isdisjoint(op.outputs):
        return False
    result = op.outputs[0]
    graph.remove(op)
    result.data = np.ascontiguousarray(window_values(operand.data, window))
    return True


def window_values(values: Array, window: Window) -> Array:
    """Return the combined values, as the op would give them."""
    widths = [(max(0, low), max(0, high)) for low, high in (a.pads for a in window.axes)]
    result: Array = np.pad(values, widths, constant_values=window.start)
    for i, axis in enumerate(window.axes):
        low, high = (max(0, -p) for p in axis.pads)
        result = np.take(result, range(low, result.shape[i] - high), i)
        parts = [np.take(result, range(s, s + (axis.count - 1) * axis.stride + 1, axis.stride), i)
                 for s in range(0, axis.reach, axis.dilation)]  # fmt: skip
        result = parts[0]
        for part in parts[1:]:
            result = _NUMPY[window.combine](result, part)
    return result


# -- ops -------------------------------------------------------------------------------------------


def _lower(model: Model, graph: Graph, op: Op, kept: set[Tensor]) -> bool:
    window, operand = read_window(model, op), op.input(0)
    if window is None or operand is None or is_free_inside(operand) or 0 in op.outputs[0].shape:
        return False
    stages = _stages(window, free=-1 in (operand.shape_signature or ()))
    if stages is None:
        return False
    value, factor = operand, np.ones((), np.float64)
    negated = window.combine == "MINIMUM"
    if negated:
        value = _unary(op, "NEG", value)
        window = replace(window, combine="MAXIMUM", start=-window.start)
    for stage in stages:
        value, counts = _apply(op, value, window, stage)
        factor = factor * counts
    if negated:
        value = _unary(op, "NEG", value)
    if window.combine == "ADD":
        scale_sum(op, value, factor, kept)
    else:
        _take_over(graph, op, value)
    return True


def _stages(window: Window, *, free: bool) -> list[tuple[int, ...]] | None:
    """The dimensions of each step: neighbours in pairs, since a pooling op takes two; None where none can."""
    active = window.active()
    if any(a.dilation != 1 and a.window > _MOST_SLICES for a in window.axes) or (free and 0 in active):
        return None
    plain = [i for i in active if window.axes[i].dilation == 1 and not window.axes[i].is_running]
    stages: list[tuple[int, ...]] = [(i,) for i in active if i not in plain]
    while plain:
        pair = len(plain) > 1 and plain[1] == plain[0] + 1
        stages.append(tuple(plain[: 1 + pair]))
        plain = plain[1 + pair :]
    return stages or [()]


def _apply(op: Op, value: Tensor, window: Window, stage: tuple[int, ...]) -> tuple[Tensor, Array]:
    """One step; gives its result and, for sums, what it must be multiplied with."""
    one = np.ones((), np.float64)
    if not stage:
        return value, one
    axes = tuple(window.axes[i] for i in stage)
    if window.combine == "ADD" and axes[0].is_running:
        return _running_sum(op, value, stage[0], axes[0]), one
    if any(a.dilation != 1 for a in axes):
        return _by_slices(op, value, window, stage[0]), one
    return _pool(op, value, window, stage)


def _pool(op: Op, value: Tensor, window: Window, stage: tuple[int, ...]) -> tuple[Tensor, Array]:
    """A pooling op over one or two neighbouring dimensions."""
    first, last = stage[0], stage[-1]
    height, width = window.axes[first], window.axes[last] if last > first else WindowAxis(1, 1)
    shape = value.shape
    image = (math.prod(shape[:first]), height.size, width.size, math.prod(shape[last + 1 :]))
    x = reshape_before(op, value, image, f"{op.name}/image")
    x, (height, width), padding = pad_window(op, x, (height, width), window.combine)
    options = {
        "padding": padding, "strideH": height.stride, "strideW": width.stride,
        "filterHeight": height.window, "filterWidth": width.window,
        "fusedActivationFunction": 0,
    }  # fmt: skip
    size = (image[0], height.count, width.count, image[3])
    signature = (-1, *size[1:]) if -1 in (x.shape_signature or ()) else None
    result = Tensor(f"{op.name}/pool", size, shape_signature=signature)
    op.owner.insert_before(op, Op(_POOL[window.combine], [x], [result], options, "Pool2DOptions"))
    back = (*shape[:first], *(window.axes[i].count for i in stage), *shape[last + 1 :])
    counts = np.outer(height.inside(), width.inside()) if padding == 0 else np.full(
        (height.count, width.count), height.window * width.window)  # fmt: skip
    grid = counts.reshape([window.axes[i].count if i in stage else 1 for i in range(len(shape))])
    return reshape_before(op, result, back, f"{op.name}/shaped"), grid.astype(np.float64)


def _running_sum(op: Op, value: Tensor, place: int, axis: WindowAxis) -> Tensor:
    result = Tensor(f"{op.name}/sum", value.shape, shape_signature=value.shape_signature)
    options = {"exclusive": False, "reverse": axis.pads[0] == 0}
    inputs = [value, constant(f"{op.name}/axis", place)]
    op.owner.insert_before(op, Op("CUMSUM", inputs, [result], options, "CumsumOptions"))
    return result


def _by_slices(op: Op, value: Tensor, window: Window, place: int) -> Tensor:
    """A window with gaps: one slice for each of its places, combined one after the other."""
    axis = window.axes[place]
    value, axis = _pad_one(op, value, axis, place, window)
    total = None
    for start in range(0, axis.reach, axis.dilation):
        part = _slice(op, value, place, start, axis)
        if total is None:
            total = part
            continue
        result = Tensor(f"{op.name}/combined", part.shape, shape_signature=part.shape_signature)
        table = "AddOptions" if window.combine == "ADD" else "MaximumMinimumOptions"
        op.owner.insert_before(op, Op(window.combine, [total, part], [result], {}, table))
        total = result
    assert total is not None  # noqa: S101 - a window has a place
    return total


def _pad_one(
    op: Op, value: Tensor, axis: WindowAxis, place: int, window: Window
) -> tuple[Tensor, WindowAxis]:
    if not any(axis.pads):
        return value, axis
    image = (math.prod(value.shape[:place]), axis.size, 1, math.prod(value.shape[place + 1 :]))
    x = reshape_before(op, value, image, f"{op.name}/image")
    wide, (axis, _), _ = pad_window(op, x, (axis, WindowAxis(1, 1)), window.combine, explicit=True)
    shape = (*value.shape[:place], axis.size, *value.shape[place + 1 :])
    return reshape_before(op, wide, shape, f"{op.name}/padded"), axis


def _slice(op: Op, value: Tensor, place: int, start: int, axis: WindowAxis) -> Tensor:
    rank = len(value.shape)
    stop = start + (axis.count - 1) * axis.stride + 1
    shape = [*value.shape[:place], axis.count, *value.shape[place + 1 :]]
    signature = (-1, *shape[1:]) if -1 in (value.shape_signature or ()) else None
    result = Tensor(f"{op.name}/slice", shape, shape_signature=signature)
    whole = sum(1 << i for i in range(rank) if i != place)
    begin, end, steps = ([0] * rank for _ in range(3))
    begin[place], end[place], steps = start, stop, [1] * rank
    steps[place] = axis.stride
    inputs = [value, *(constant(f"{op.name}/{n}", v) for n, v in
                       (("begin", begin), ("end", end), ("strides", steps)))]  # fmt: skip
    options = {"beginMask": whole, "endMask": whole}
    op.owner.insert_before(op, Op("STRIDED_SLICE", inputs, [result], options, "StridedSliceOptions"))
    return result


def _unary(op: Op, kind: str, value: Tensor) -> Tensor:
    result = Tensor(f"{op.name}/{kind.lower()}", value.shape, shape_signature=value.shape_signature)
    op.owner.insert_before(op, Op(kind, [value], [result], {}, f"{kind.title()}Options"))
    return result


def _take_over(graph: Graph, op: Op, value: Tensor) -> None:
    """Let the op that writes a value write the result of another op instead, which goes."""
    result, producer = op.outputs[0], value.producer
    graph.remove(op)
    if producer is None or value.consumers or value in graph.inputs:
        graph.replace_uses(result, value)
        return
    graph.set_output(producer, producer.outputs.index(value), result)

"""A file for one sample becomes one for any number of samples: −1 in front of its shapes.

A converter that traces a free batch writes arithmetic on shapes into the graph, several ops for each reshape.
Here the graph for one sample keeps its ops; only the constants that say "1" for the batch are changed. The
caller compares the result with the source on several samples, which decides whether it is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.clean import called_graphs
from tightfit.graph.passes.edits import constant, integers

Rule = Callable[[Graph, Op], bool]
"""Changes an op for a free batch in its first input; False where the op cannot be."""


def free_batch(model: Model, inputs: Sequence[str]) -> bool:
    """Leave the first dimension of inputs, and of all that follows from them, open.

    Args:
        model: changed in place; it has one graph.
        inputs: names of the inputs whose first dimension is the batch.

    Returns:
        False, and the model is of no use, where an op fixes the batch.
    """
    graph = model.main
    carried = {t for t in graph.inputs if t.name in inputs}
    if len(model.graphs) != 1 or any(t.shape[:1] != (1,) for t in carried):
        return False
    for tensor in carried:
        _open(tensor)
    for op in graph.ops:
        if not any(t in carried for t in op.inputs if t is not None):
            continue
        if called_graphs(op) or op.kind in _FIXED or not _RULES.get(op.kind, _nothing)(graph, op):
            return False
        for tensor in op.outputs:
            if tensor.shape:
                _open(tensor)
                carried.add(tensor)
    return True


def _open(tensor: Tensor) -> None:
    tensor.shape_signature = (-1, *tensor.shape[1:])


def _nothing(_: Graph, __: Op) -> bool:
    return True


def _reshape(graph: Graph, op: Op) -> bool:
    sizes = [-1, *op.outputs[0].shape[1:]]
    if not op.outputs[0].shape or 0 in sizes:
        return False
    graph.set_input(op, 1, constant(f"{op.name}/shape", sizes))
    op.options["newShape"], op.options_type = sizes, "ReshapeOptions"
    return True


def _slice(graph: Graph, op: Op) -> bool:
    begin, sizes = integers(op.input(1)), integers(op.input(2))
    if begin is None or sizes is None or begin[0] or sizes[0] not in (-1, op.operand(0).shape[0]):
        return False
    graph.set_input(op, 2, constant(f"{op.name}/sizes", [-1, *sizes[1:]]))
    return True


def _strided_slice(_: Graph, op: Op) -> bool:
    begin, end, steps = (integers(op.input(i)) for i in (1, 2, 3))
    masks = op.options
    if begin is None or end is None or steps is None or masks.get("shrinkAxisMask", 0) & 1:
        return False
    whole = (masks.get("beginMask", 0) & 1 or begin[0] == 0) and (
        masks.get("endMask", 0) & 1 or end[0] >= op.operand(0).shape[0]
    )
    op.options |= {name: masks.get(name, 0) | 1 for name in ("beginMask", "endMask")}
    return bool(whole) and steps[0] == 1


def _permutation(_: Graph, op: Op) -> bool:
    order = integers(op.input(1))
    return order is not None and order[:1] == [0]


def _other_axes(_: Graph, op: Op) -> bool:
    axes, rank = integers(op.input(1)), len(op.operand(0).shape)
    return axes is not None and all(axis % rank for axis in axes)


def _other_axis(_: Graph, op: Op) -> bool:
    rank = max(len(t.shape) for t in (*op.outputs, *op.inputs) if t is not None)
    return bool(op.options.get("axis", 0) % rank)


def _split(_: Graph, op: Op) -> bool:
    axis = integers(op.input(0 if op.kind == "SPLIT" else 2))
    tensor = op.operand(1 if op.kind == "SPLIT" else 0)
    return axis is not None and bool(axis[0] % len(tensor.shape))


def _gather(_: Graph, op: Op) -> bool:
    return op.operand(0).is_constant or bool(op.options.get("axis", 0) % len(op.operand(0).shape))


def _tile(_: Graph, op: Op) -> bool:
    times = integers(op.input(1))
    return times is not None and times[0] == 1


def _pad(_: Graph, op: Op) -> bool:
    widths = integers(op.input(1))
    return widths is not None and not np.any(widths[:2])


_REDUCTIONS: Final = "MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD REDUCE_ANY REDUCE_ALL ARG_MAX ARG_MIN CUMSUM"
_FIXED: Final = frozenset(
    {"BROADCAST_TO", "TRANSPOSE_CONV", "SHAPE", "FILL", "GATHER_ND", "SCATTER_ND", "CUSTOM"}
)
"""Ops that name the batch in a constant, or may mix samples."""

_RULES: Final[dict[str, Rule]] = {
    "RESHAPE": _reshape, "SLICE": _slice, "STRIDED_SLICE": _strided_slice, "TRANSPOSE": _permutation,
    "CONCATENATION": _other_axis, "PACK": _other_axis, "UNPACK": _other_axis, "SPLIT": _split,
    "SPLIT_V": _split, "GATHER": _gather, "TILE": _tile, "PAD": _pad, "PADV2": _pad, "MIRROR_PAD": _pad,
    **dict.fromkeys(_REDUCTIONS.split(), _other_axes),
}  # fmt: skip

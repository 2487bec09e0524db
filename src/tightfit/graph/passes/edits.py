"""The edits that several fusions share: a reshape, a constant, the one reader of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.constant_folding import kept_tensors
from tightfit.types import Array
from tightfit.units import format_count

Rewrite = Callable[[Graph, Op, set[Tensor]], bool]


def each_op(model: Model, rewrite: Rewrite, sentence: str) -> list[str]:
    """Apply a rewrite to every op of a model.

    Args:
        model: changed in place.
        rewrite: (graph, op, tensors that a caller knows) → True when it changed something.
        sentence: with ``{}`` for the number of changes, as in "3 ops".

    Returns:
        The sentence, or nothing when no op changed.
    """
    count = 0
    for graph in model.graphs:
        kept = kept_tensors(model, graph)
        for op in list(graph.ops):
            if op.graph is graph and rewrite(graph, op, kept):
                count += 1
    return [sentence.format(format_count(count, "op"))] if count else []


def only_reader(tensor: Tensor, kept: set[Tensor]) -> Op | None:
    """Return the one op that reads a tensor which no caller knows, None where there are several or none."""
    if tensor in kept or len(tensor.consumers) != 1:
        return None
    return tensor.consumers[0][0]


def integers(tensor: Tensor | None) -> list[int] | None:
    """Return the values of a constant as a flat list, None where it is no constant."""
    if tensor is None or tensor.data is None:
        return None
    return [int(v) for v in np.asarray(tensor.data).reshape(-1)]


def constant(name: str, values: Any, dtype: type = np.int32) -> Tensor:
    """Return a new constant.

    Example:
        >>> constant("axes", [1, 2])
        <const int32[2] 'axes'>
    """
    data: Array = np.asarray(values, dtype)
    return Tensor(name, data.shape, data.dtype.name, data)


def reshape_before(anchor: Op, tensor: Tensor, shape: Sequence[int], name: str) -> Tensor:
    """Return a tensor reshaped by a new op before another; the tensor itself where it has the shape.

    Args:
        anchor: the op before which the RESHAPE stands.
        tensor: its input. Only the first dimension may be free (−1 in its signature).
        shape: of the result, for a first dimension of ``tensor.shape[0]``.
        name: of the result.
    """
    if tuple(shape) == tensor.shape:
        return tensor
    result = Tensor(name, shape, tensor.dtype, shape_signature=freed(tensor, shape))
    anchor.owner.insert_before(anchor, reshape_op(tensor, result))
    return result


def reshape_op(source: Tensor, result: Tensor) -> Op:
    """Return the RESHAPE from one tensor to another; a free first dimension stays free."""
    sizes = list(result.shape_signature or result.shape)
    return Op("RESHAPE", [source, constant(f"{result.name}/shape", sizes)], [result], {"newShape": sizes},
              "ReshapeOptions")  # fmt: skip


def freed(source: Tensor, shape: Sequence[int]) -> tuple[int, ...] | None:
    """Return the signature of a shape that is free in front when the source is.

    Example:
        >>> freed(Tensor("x", (1, 4, 2), shape_signature=(-1, 4, 2)), (1, 4, 1, 2))
        (-1, 4, 1, 2)
    """
    return (-1, *shape[1:]) if -1 in (source.shape_signature or ()) else None


def is_free_inside(tensor: Tensor) -> bool:
    """Return True when a dimension behind the first is free."""
    return -1 in (tensor.shape_signature or ())[1:]

"""Values repeated along height and width become RESIZE_NEAREST_NEIGHBOR.

Keras on JAX repeats by RESHAPE and BROADCAST_TO to five dimensions, which few targets take. The ops are run
on the numbers of the elements, so that any way to write a repetition is found.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.edits import constant, each_op, integers, reshape_before
from tightfit.types import Array

_MOVES: Final = frozenset({"RESHAPE", "BROADCAST_TO", "TILE"})
_LONGEST: Final = 8
_LARGEST: Final = 2**24


def resize_repeated(model: Model) -> list[str]:
    """Turn repetition along the dimensions between batch and channels into RESIZE_NEAREST_NEIGHBOR.

    Condition: float32 or int8 of static shape with three or four dimensions, repeated by BROADCAST_TO or
    TILE, and nothing else reads what lies between.
    """
    return each_op(model, _resize, "Wrote {} of repetition as RESIZE_NEAREST_NEIGHBOR.")


def _resize(graph: Graph, last: Op, kept: set[Tensor]) -> bool:
    result = last.outputs[0] if last.outputs else None
    if (
        last.kind not in _MOVES
        or result is None
        or len(result.shape) not in (3, 4)
        or not 0 < result.size <= _LARGEST
    ):
        return False
    chain: list[Op] = [last]
    found = None
    while len(chain) <= _LONGEST:
        source = chain[-1].inputs[0]
        if source is None or source.is_constant or source.shape_signature is not None:
            break
        if any(op.kind != "RESHAPE" for op in chain) and _repeats(source, result, chain):
            found = source, list(chain)
        before = source.producer
        if before is None or before.kind not in _MOVES or source in kept or len(source.consumers) != 1:
            break
        chain.append(before)
    if found is None:
        return False
    _replace(graph, *found)
    return True


def _repeats(source: Tensor, result: Tensor, chain: list[Op]) -> bool:
    """True when the ops repeat each value along the middle dimensions, and do nothing else."""
    rank = len(result.shape)
    if (
        len(source.shape) != rank
        or source.shape[0] != result.shape[0]
        or source.shape[-1] != result.shape[-1]
    ):
        return False
    if source.dtype not in ("float32", "int8") or any(
        b % a for a, b in zip(source.shape, result.shape, strict=True)
    ):
        return False
    if source.shape == result.shape:
        return False
    numbers: Array = np.arange(math.prod(source.shape), dtype=np.int32).reshape(source.shape)
    moved = numbers
    for op in reversed(chain):
        if op.kind == "TILE":
            times = integers(op.input(1))
            if times is None:
                return False
            moved = np.tile(moved, times)
        shape = op.outputs[0].shape
        moved = np.broadcast_to(moved, shape) if op.kind == "BROADCAST_TO" else moved.reshape(shape)
    wanted = numbers
    for axis in range(1, rank - 1):
        wanted = np.repeat(wanted, result.shape[axis] // source.shape[axis], axis)
    return bool(np.array_equal(moved, wanted))


def _replace(graph: Graph, source: Tensor, chain: list[Op]) -> None:
    last = chain[0]
    result = last.outputs[0]
    line = len(result.shape) == 3
    before = (source.shape[0], source.shape[1], 1, source.shape[2]) if line else source.shape
    after = (result.shape[0], result.shape[1], 1, result.shape[2]) if line else result.shape
    x = reshape_before(last, source, before, f"{result.name}/image")
    y = Tensor(f"{result.name}/resized", after, result.dtype, quantization=result.quantization)
    options = {"alignCorners": False, "halfPixelCenters": False}
    size = constant(f"{result.name}/size", after[1:3])
    resize = Op("RESIZE_NEAREST_NEIGHBOR", [x, size], [y], options, "ResizeNearestNeighborOptions")
    graph.insert_before(last, resize)
    if line:
        y = reshape_before(last, y, result.shape, f"{result.name}/line")
    for op in chain:
        graph.remove(op)
    graph.set_output(y.writer, 0, result)

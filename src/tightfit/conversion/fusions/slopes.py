"""``max(x, 0) − a · max(−x, 0)`` becomes PRELU, as Keras on JAX writes it out."""

from __future__ import annotations

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.edits import each_op, only_reader


def fuse_slopes(model: Model) -> list[str]:
    """Write the sum of both halves of a tensor, the negative one times a constant, as PRELU.

    Condition: float32, the factor is constant and has the batch's dimension as 1, and nothing else reads
    what lies between.
    """
    return each_op(model, _fuse, "Wrote {} with a slope for negative values as PRELU.")


def _fuse(graph: Graph, last: Op, kept: set[Tensor]) -> bool:
    if last.kind not in ("ADD", "SUB") or last.options.get("fusedActivationFunction", 0):
        return False
    for upper, lower in (last.inputs, last.inputs[::-1]):
        if last.kind == "SUB" and upper is not last.inputs[0]:
            continue
        found = _halves(upper, lower, kept)
        if found is None:
            continue
        source, factor, between = found
        slopes = _slopes(factor, source, -1.0 if last.kind == "ADD" else 1.0)
        if slopes is None:
            continue
        result, place = last.outputs[0], graph.ops.index(last)
        graph.remove(last)
        for op in between:
            graph.remove(op)
        tensor = Tensor(f"{result.name}/slopes", slopes.shape, "float32", slopes)
        graph.insert(place - len(between), Op("PRELU", [source, tensor], [result]))
        return True
    return False


def _halves(
    upper: Tensor | None, lower: Tensor | None, kept: set[Tensor]
) -> tuple[Tensor, Tensor, list[Op]] | None:
    """x, the factor and the ops of ``relu(x)`` and ``relu(−x) · factor``."""
    first, product = _made_by(upper, "RELU", kept), _made_by(lower, "MUL", kept)
    if first is None or product is None or product.options.get("fusedActivationFunction", 0):
        return None
    for value, factor in (product.inputs, product.inputs[::-1]):
        second = _made_by(value, "RELU", kept)
        negated = None if second is None else _made_by(second.inputs[0], "NEG", kept)
        if factor is None or factor.data is None or second is None or negated is None:
            continue
        if negated.inputs[0] is first.inputs[0] and first.inputs[0] is not None:
            return first.inputs[0], factor, [product, second, negated, first]
    return None


def _made_by(tensor: Tensor | None, kind: str, kept: set[Tensor]) -> Op | None:
    op = None if tensor is None else tensor.producer
    return (
        op
        if tensor is not None and op is not None and op.kind == kind and only_reader(tensor, kept)
        else None
    )


def _slopes(
    factor: Tensor, source: Tensor, sign: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None:
    """The factors as PRELU takes them: without the batch, one entry a dimension."""
    rank = len(source.shape)
    shape = (*[1] * (rank - len(factor.shape)), *factor.shape)
    if rank < 2 or len(shape) != rank or shape[0] != 1 or source.dtype != "float32":
        return None
    return np.asarray(sign * factor.values.reshape(shape[1:]), np.float32)

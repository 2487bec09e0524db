"""A sum over windows as an average: the factor between the two joins the multiplication that follows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tightfit.graph.ir import Op, Tensor
from tightfit.graph.passes.edits import constant, only_reader
from tightfit.types import Array

_ROUNDING: Final = 4 * float(np.finfo(np.float32).eps)


def scale_sum(op: Op, value: Tensor, factor: Array, kept: set[Tensor]) -> None:
    """Replace an op by a value times a factor; a division or multiplication by constants behind it joins.

    Args:
        op: the sum, still in the graph; removed.
        value: averages, of the shape of the op's output.
        factor: what makes sums of them, of a shape that broadcasts to the value's.
        kept: tensors that a caller knows.
    """
    last, total = op, np.asarray(factor, np.float64)
    reader = only_reader(op.outputs[0], kept)
    scale = None if reader is None else _constant_scale(reader, op.outputs[0])
    if reader is not None and scale is not None:
        last, total = reader, total * scale
    graph, result = op.owner, last.outputs[0]
    if last is not op:
        graph.remove(op)
    position = graph.ops.index(last)
    graph.remove(last)
    if np.all(np.abs(total - 1) <= _ROUNDING):
        producer = value.writer
        graph.set_output(producer, producer.outputs.index(value), result)
        return
    plain: Any = total.flat[0] if np.all(total == total.flat[0]) else total
    by = constant(f"{result.name}/factor", plain, np.float32)
    options = {"fusedActivationFunction": 0}
    graph.insert(position, Op("MUL", [value, by], [result], options, "MulOptions"))


def _constant_scale(reader: Op, tensor: Tensor) -> Array | None:
    """What an op multiplies a tensor with, where that is constant and does not change its shape."""
    if reader.kind not in ("MUL", "DIV") or reader.options.get("fusedActivationFunction", 0):
        return None
    if reader.outputs[0].shape != tensor.shape:
        return None
    place = 1 if reader.inputs[0] is tensor else 0
    other = reader.inputs[place]
    if other is None or other.data is None or other.is_variable or (reader.kind == "DIV" and place == 0):
        return None
    values = np.asarray(other.data, np.float64)
    if reader.kind == "MUL":
        return values
    return None if np.any(values == 0) else 1 / values

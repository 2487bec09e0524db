"""A transposed convolution whose result is cropped becomes one with SAME padding, where the crop is the same.

Source: ``ComputePaddingHeightWidth`` of ``tflite/kernels/padding.h``, which ``transpose_conv.cc`` calls with
the sizes of the output.
"""

from __future__ import annotations

from typing import Final

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.edits import constant, each_op, integers, only_reader

_SAME, _VALID = 0, 1
_AXES: Final = ((1, "H"), (2, "W"))


def fuse_crops(model: Model) -> list[str]:
    """Let a TRANSPOSE_CONV give what a SLICE behind it leaves.

    Condition: VALID padding, no activation, static shapes, nothing else reads the whole result, and SAME
    padding with the sizes of the SLICE crops the same rows and columns.
    """
    return each_op(model, _fuse, "Took the crop of {} of transposed convolution into its padding.")


def _fuse(graph: Graph, op: Op, kept: set[Tensor]) -> bool:
    if op.kind != "TRANSPOSE_CONV" or op.options.get("padding", _SAME) != _VALID:
        return False
    reader = only_reader(op.outputs[0], kept)
    x, weight = op.input(2), op.input(1)
    if reader is None or reader.kind != "SLICE" or x is None or weight is None or not op.inputs[0]:
        return False
    begin, result = integers(reader.input(1)), reader.outputs[0]
    if begin is None or result.shape_signature is not None or op.options.get("fusedActivationFunction", 0):
        return False
    whole = result.shape[0] == x.shape[0] and result.shape[3] == op.outputs[0].shape[3]
    if not whole or not all(_crops_alike(op, result.shape[a], begin[a], a, letter) for a, letter in _AXES):
        return False
    graph.remove(reader)
    graph.set_output(op, 0, result)
    graph.set_input(op, 0, constant(f"{result.name}/shape", list(result.shape)))
    op.options["padding"] = _SAME
    return True


def _crops_alike(op: Op, size: int, begin: int, axis: int, letter: str) -> bool:
    """True when SAME padding leaves the same range of one dimension."""
    stride, length = int(op.options[f"stride{letter}"]), op.operand(2).shape[axis]
    total = (length - 1) * stride + op.operand(1).shape[axis] - size
    return -(-size // stride) == length and total >= 0 and begin == total // 2

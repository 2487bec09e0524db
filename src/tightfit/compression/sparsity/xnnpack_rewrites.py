"""Rewrite a graph so that XNNPACK's sparse inference accepts it, where the rewrite is exact.

Padding is the most frequent obstacle. SAME padding with stride 2 on an even size adds 0 rows before and 1 row
after, but XNNPACK's channel-first kernels need equal padding on both sides. Flipping the image and every
filter in height and width turns this into 1 row before and 0 after. That equals 1 row on both sides, because
no window reads the last row. The result of the MEAN does not change: its sum has the same terms in another
order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tightfit.compression.sparsity.xnnpack_conditions import (
    VALID,
    Sides,
    is_global_mean,
    kernel_of,
    obstacles,
    own_pad,
    pad_widths,
    padding_of,
    stride_of,
)
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.pointwise import is_pointwise, to_dense

_CONVOLUTIONS: Final = ("CONV_2D", "DEPTHWISE_CONV_2D")
_ALIKE: Final = frozenset(
    [
        "ABS",
        "ADD",
        "DIV",
        "ELU",
        "EXP",
        "GELU",
        "HARD_SWISH",
        "LEAKY_RELU",
        "LOGISTIC",
        "MAXIMUM",
        "MINIMUM",
        "MUL",
        "NEG",
        "PRELU",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "RSQRT",
        "SQRT",
        "SQUARE",
        "SUB",
        "TANH",
    ]
)
"""Ops that compute each pixel of an image on its own."""


@dataclass(frozen=True)
class Eligibility:
    """The result of ``make_eligible``.

    Args:
        model: the rewritten model, or the given one where no rewrite makes it eligible.
        eligible: True when every condition of XNNPACK is met.
        mirrored: True when image and filters are flipped.
        reasons: why it is not eligible.
    """

    model: Model
    eligible: bool
    mirrored: bool = False
    reasons: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """Return the result as a sentence for the report.

        Example:
            >>> Eligibility(Model([Graph()]), eligible=False, reasons=["no MEAN ends it"]).sentence()
            "Not eligible for XNNPACK's sparse inference: no MEAN ends it."
        """
        if not self.eligible:
            shown = "; ".join(self.reasons[:3]) + ("; and more" if len(self.reasons) > 3 else "")
            return f"Not eligible for XNNPACK's sparse inference: {shown}."
        how = "; the image and every filter are mirrored, so that padding is alike" if self.mirrored else ""
        return (
            "Eligible for XNNPACK's sparse inference, which runs on ARM and on x86 without AVX, not on x86 "
            f"with AVX{how}."
        )


def make_eligible(model: Model) -> Eligibility:
    """Return an equivalent model that meets the conditions of sparse inference, or the reasons why not.

    Args:
        model: a pruned float model; it is not changed.
    """
    straight = copy_model(model)
    _rewrite(straight.main)
    reasons = obstacles(straight.main)
    if not reasons:
        return Eligibility(straight, eligible=True)
    mirrored = copy_model(model)
    if len(model.graphs) == 1 and _is_mirrorable(mirrored.main):
        _mirror(mirrored.main)
        _rewrite(mirrored.main)
        if not obstacles(mirrored.main):
            return Eligibility(mirrored, eligible=True, mirrored=True)
    return Eligibility(model, eligible=False, reasons=reasons)


def _rewrite(graph: Graph) -> None:
    """Rewrite the head as dense layers, and equal padding on both sides as a PAD."""
    for op in list(graph.ops):
        if _is_dense(op):
            to_dense(graph, op)
        elif op.kind in _CONVOLUTIONS:
            _pad_alike(graph, op)
        if op.kind == "FULLY_CONNECTED" and _reads_mean(op):
            _flatten(graph, op)


def _is_dense(op: Op) -> bool:
    """Whether an op is a 1×1 convolution of one pixel, which is a dense layer."""
    data = op.input(0)
    return data is not None and data.shape[1:3] == (1, 1) and is_pointwise(op)


def _reads_mean(op: Op) -> bool:
    """Whether a dense layer reads the MEAN as an image of one pixel, which XNNPACK fails to reshape."""
    data = op.input(0)
    from_mean = data is not None and data.producer is not None and is_global_mean(data.producer)
    return from_mean and data is not None and len(data.shape) == 4


def _flatten(graph: Graph, op: Op) -> None:
    """Let a dense layer read and write rows, between two RESHAPEs."""
    data, image = op.inputs[0], op.outputs[0]
    if data is None:
        return
    rows, result = _rows(data, f"{op.name}/rows"), _rows(image, f"{op.name}/result")
    graph.set_input(op, 0, rows)
    graph.set_output(op, 0, result)
    graph.insert_before(op, _reshape(data, rows))
    graph.insert_after(op, _reshape(result, image))
    op.options = {**op.options, "keepNumDims": False}


def _rows(tensor: Tensor, name: str) -> Tensor:
    channels = tensor.shape[-1]
    signature = None if tensor.shape_signature is None else (tensor.shape_signature[0], channels)
    return Tensor(name, (tensor.shape[0], channels), shape_signature=signature)


def _reshape(source: Tensor, target: Tensor) -> Op:
    shape = np.array([-1, *target.shape[1:]], np.int32)
    constant = Tensor(f"{target.name}/shape", shape.shape, "int32", shape)
    options = {"newShape": shape.tolist()}
    return Op("RESHAPE", [source, constant], [target], options, "ReshapeOptions")


def _pad_alike(graph: Graph, op: Op) -> None:
    """Write the padding of a convolution of stride 2 as a PAD of half the filter, where that is exact."""
    before, sides = own_pad(op), padding_of(op)
    source = op.input(0) if before is None else before.input(0)
    rows, columns = (kernel // 2 for kernel in kernel_of(op))
    wanted = ((rows, rows), (columns, columns))
    if source is None or sides is None or stride_of(op) != (2, 2) or not rows or not columns:
        return
    if before is not None and sides == wanted:
        return
    if not all(_reads_alike(op, source, sides, axis) for axis in (0, 1)):
        return
    if before is not None:
        graph.remove(before)
    _pad(graph, op, source, wanted)


def _pad(graph: Graph, op: Op, source: Tensor, sides: Sides) -> None:
    """Let a convolution read a tensor through a PAD, and pad nothing itself."""
    height, width = (n + sum(side) for n, side in zip(source.shape[1:3], sides, strict=True))
    shape = (source.shape[0], height, width, source.shape[3])
    signature = None if source.shape_signature is None else (source.shape_signature[0], *shape[1:])
    padded = Tensor(f"{op.name}/padded", shape, shape_signature=signature)
    widths = np.array([(0, 0), *sides, (0, 0)], np.int32)
    constant = Tensor(f"{op.name}/widths", widths.shape, "int32", widths)
    graph.insert_before(op, Op("PAD", [source, constant], [padded], {}, "PadOptions"))
    graph.set_input(op, 0, padded)
    op.options = {**op.options, "padding": VALID}


def _reads_alike(op: Op, source: Tensor, sides: Sides, axis: int) -> bool:
    """True when padding by half the filter on both sides gives the same windows and as many outputs."""
    kernel, stride = kernel_of(op)[axis], stride_of(op)[axis]
    half, (before, _) = kernel // 2, sides[axis]
    count = (source.shape[1 + axis] + 2 * half - kernel) // stride + 1
    return before == half and count == op.outputs[0].shape[1 + axis]


# -- flipping --------------------------------------------------------------------------------------


def _is_image(tensor: Tensor | None) -> bool:
    """Whether flipping changes a tensor: it has a height or width over one."""
    return tensor is not None and len(tensor.shape) == 4 and max(tensor.shape[1:3]) > 1


def _is_mirrorable(graph: Graph) -> bool:
    """True when flipping the image and every filter changes only the order of sums."""
    images = [t for t in graph.inputs if _is_image(t)]
    if not images or any(_is_image(t) for t in graph.outputs):
        return False
    return all(_mirrors(op) for op in graph.ops if any(map(_is_image, (*op.inputs, *op.outputs))))


def _mirrors(op: Op) -> bool:
    if op.kind in _CONVOLUTIONS:
        weight = op.input(1)
        return weight is not None and weight.data is not None
    if op.kind == "PAD":
        return pad_widths(op) is not None
    constants = [t for t in op.inputs if t is not None and t.is_constant]
    # A constant broadcasts from the right: height and width are its third and second last dimensions.
    flat = all(t.size == 1 or all(d == 1 for d in t.shape[-3:-1]) for t in constants)
    return is_global_mean(op) or (op.kind in _ALIKE and flat)


def _mirror(graph: Graph) -> None:
    for op in list(graph.ops):
        if op.kind in _CONVOLUTIONS and _is_image(op.input(0)):
            _flip_filter(graph, op)
        elif op.kind == "PAD":
            _flip_padding(graph, op)
    for op in [o for o in graph.ops if o.kind in _CONVOLUTIONS]:
        _flip_same(graph, op)
    for tensor in [t for t in graph.inputs if _is_image(t)]:
        flipped = Tensor(f"{tensor.name}/mirrored", tensor.shape, shape_signature=tensor.shape_signature)
        graph.replace_uses(tensor, flipped, outputs=False)
        axes = Tensor(f"{tensor.name}/axes", (2,), "int32", np.array([1, 2], np.int32))
        graph.insert(0, Op("REVERSE_V2", [tensor, axes], [flipped], {}, "ReverseV2Options"))


def _flip_filter(graph: Graph, op: Op) -> None:
    weight = op.inputs[1]
    if weight is None or weight.data is None or kernel_of(op) == (1, 1):
        return
    values = np.ascontiguousarray(weight.data[:, ::-1, ::-1])
    graph.set_input(op, 1, Tensor(weight.name, weight.shape, weight.dtype, values))


def _flip_padding(graph: Graph, op: Op) -> None:
    old = op.inputs[1]
    if old is None or old.data is None:
        return
    widths = np.ascontiguousarray(old.data[:, ::-1])
    graph.set_input(op, 1, Tensor(old.name, old.shape, old.dtype, widths))


def _flip_same(graph: Graph, op: Op) -> None:
    """Replace SAME, which pads more after than before, by a PAD of more before than after."""
    sides = padding_of(op)
    if op.options.get("padding", 0) == VALID or sides is None or all(a == b for a, b in sides):
        return
    data = op.input(0)
    if data is not None:
        (top, bottom), (left, right) = sides
        _pad(graph, op, data, ((bottom, top), (right, left)))

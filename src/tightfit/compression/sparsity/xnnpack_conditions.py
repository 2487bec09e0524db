"""The conditions of XNNPACK's sparse inference, checked on a float graph.

XNNPACK runs a part of the graph in channel-first layout: from a 3×3 convolution of stride 2 over 3 channels
to the MEAN over height and width. Every op between must be one of those below, and more than two thirds of
the 1×1 weights must be zero. On x86 with AVX it never uses sparse inference.

Source: ``xnn_subgraph_rewrite_for_nchw`` and ``xnn_check_nchw_compatibility`` in XNNPACK's ``subgraph.c``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.units import format_percent

VALID: Final = 1
"""``Padding.VALID`` of the schema; 0 is SAME."""
Sides = tuple[tuple[int, int], tuple[int, int]]

_LEAST_ZEROS: Final = 2 / 3
_PADDED: Final = ("CONV_2D", "DEPTHWISE_CONV_2D")
_UNARY: Final = frozenset(
    [
        "ABS",
        "CEIL",
        "ELU",
        "EXP",
        "FLOOR",
        "GELU",
        "HARD_SWISH",
        "LEAKY_RELU",
        "LOGISTIC",
        "NEG",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "ROUND",
        "RSQRT",
        "SQRT",
        "SQUARE",
        "TANH",
    ]
)
_BINARY: Final = frozenset({"ADD", "MUL"})


def obstacles(graph: Graph) -> list[str]:
    """Return the reasons why XNNPACK would not use sparse inference for a graph; empty when it would.

    Args:
        graph: float weights as dense constants: call this before the weights are stored sparse or quantized.
    """
    ends = [op for op in graph.ops if is_global_mean(op)]
    if not ends:
        return ["no MEAN over height and width ends the convolutions"]
    region, found = _region(graph, ends)
    if not found:
        found = [*_other_readers(graph, region, ends), *_unflattened(ends), *_too_few_zeros(region)]
    return found


def is_global_mean(op: Op) -> bool:
    """Return True for a MEAN over height and width of an image."""
    data, axes = op.input(0), op.input(1)
    if op.kind != "MEAN" or data is None or len(data.shape) != 4 or axes is None or axes.data is None:
        return False
    return sorted(int(a) % 4 for a in np.ravel(axes.data)) == [1, 2]


def padding_of(op: Op) -> Sides | None:
    """Return the padding ((top, bottom), (left, right)) of a convolution, with its own PAD included.

    None where a PAD pads other dimensions than height and width.
    """
    sides = _own_padding(op)
    before = own_pad(op)
    if before is None:
        return sides
    widths = pad_widths(before)
    if widths is None:
        return None
    (top, bottom), (left, right) = widths
    (a, b), (c, d) = sides
    return (top + a, bottom + b), (left + c, right + d)


def own_pad(op: Op) -> Op | None:
    """Return the PAD whose output only this convolution reads: XNNPACK fuses the two."""
    data = op.input(0)
    producer = None if data is None else data.producer
    alone = data is not None and len(data.consumers) == 1
    fused = producer is not None and producer.kind == "PAD" and op.options.get("padding", 0) == VALID
    return producer if fused and alone else None


def pad_widths(op: Op) -> Sides | None:
    """Return ((top, bottom), (left, right)) of a PAD of zeros around an image, None for any other op."""
    widths = op.input(1)
    if widths is None or widths.data is None or widths.data.shape != (4, 2):
        return None
    batch, rows, columns, channels = (tuple(int(v) for v in pair) for pair in widths.data)
    if any(batch) or any(channels):
        return None
    return (rows[0], rows[1]), (columns[0], columns[1])


def kernel_of(op: Op) -> tuple[int, int]:
    """Return the (height, width) of a convolution's filter."""
    weight = op.input(1)
    return (0, 0) if weight is None or len(weight.shape) != 4 else (weight.shape[1], weight.shape[2])


def stride_of(op: Op) -> tuple[int, int]:
    """Return the (vertical, horizontal) stride of a convolution."""
    return int(op.options.get("strideH", 1)), int(op.options.get("strideW", 1))


def _own_padding(op: Op) -> Sides:
    data = op.input(0)
    if op.options.get("padding", 0) == VALID or data is None:
        return (0, 0), (0, 0)
    sides = []
    for size, kernel, stride in zip(data.shape[1:3], kernel_of(op), stride_of(op), strict=True):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        sides.append((total // 2, total - total // 2))
    return sides[0], sides[1]


def _region(graph: Graph, ends: list[Op]) -> tuple[list[Op], list[str]]:
    """The ops that would run channel-first, and the reasons why they cannot."""
    region: dict[Op, None] = {}
    found: list[str] = []
    waiting = list(ends)
    while waiting:
        op = waiting.pop()
        if op in region:
            continue
        region[op] = None
        if _is_stem(op):
            continue
        reason = _unsuitable(op)
        if reason:
            found.append(f"{op.kind} '{op.name}' {reason}")
            continue
        for tensor in _data_inputs(op):
            if tensor.producer is None:
                found.append(
                    f"{op.kind} '{op.name}' reads the model's input, which only a 3×3 convolution may"
                )
            else:
                waiting.append(tensor.producer)
    return [op for op in graph.ops if op in region], found


def _data_inputs(op: Op) -> list[Tensor]:
    """The activations that an op reads; for an op with its own PAD, the input of the PAD."""
    before = own_pad(op) if op.kind in _PADDED else None
    read = op.inputs if before is None else [before.input(0)]
    return [t for t in read if t is not None and not t.is_constant]


def _is_stem(op: Op) -> bool:
    """Whether an op converts an image to channel-first layout: 3×3, stride 2, padding 1, 3 channels."""
    data = op.input(0)
    if op.kind != "CONV_2D" or data is None or data.shape[-1] != 3:
        return False
    right = kernel_of(op) == (3, 3) and stride_of(op) == (2, 2) and _dilation(op) == (1, 1)
    return right and not _pads_by_itself(op) and padding_of(op) == ((1, 1), (1, 1))


def _pads_by_itself(op: Op) -> bool:
    """Whether SAME padding is combined with a stride: XNNPACK refuses it even where both sides are equal."""
    return op.options.get("padding", 0) != VALID and stride_of(op) != (1, 1)


def _unsuitable(op: Op) -> str:
    """The reason why an op cannot run channel-first, empty when it can."""
    if op.kind in CHECKS:
        return CHECKS[op.kind](op)
    if op.kind in _UNARY or is_global_mean(op):
        return ""
    if op.kind in _BINARY:
        return _check_binary(op)
    return "has no channel-first kernel"


def _check_convolution(op: Op) -> str:
    if kernel_of(op) != (1, 1):
        size = "×".join(map(str, kernel_of(op)))
        return f"is {size}; only the first may be, 3×3 with stride 2 and padding 1 over 3 channels"
    if stride_of(op) != (1, 1) or padding_of(op) != ((0, 0), (0, 0)):
        return "is 1×1 with a stride or padding"
    data, weight = op.input(0), op.input(1)
    if data is None or weight is None or weight.data is None or weight.shape[-1] != data.shape[-1]:
        return "has groups, or weights that are computed"
    return ""


def _check_depthwise(op: Op) -> str:
    data, weight, kernel = op.input(0), op.input(1), kernel_of(op)
    if kernel not in ((3, 3), (5, 5)) or _dilation(op) != (1, 1) or stride_of(op) not in ((1, 1), (2, 2)):
        return "is neither 3×3 nor 5×5 with stride 1 or 2"
    if data is None or weight is None or data.shape[-1] != weight.shape[-1]:
        return "makes several channels of each"
    half = kernel[0] // 2
    if _pads_by_itself(op):
        return "pads by SAME with a stride"
    if padding_of(op) != ((half, half), (half, half)):
        return f"is padded by {padding_of(op)} instead of {half} on each side"
    return ""


def _check_binary(op: Op) -> str:
    for tensor in op.inputs:
        spread = tensor is not None and tensor.is_constant and sum(d > 1 for d in tensor.shape) > 1
        if tensor is None or len(tensor.shape) != 4 or spread:
            return "has an operand that is neither an image nor a value for each channel"
    return ""


def _dilation(op: Op) -> tuple[int, int]:
    return int(op.options.get("dilationHFactor", 1)), int(op.options.get("dilationWFactor", 1))


CHECKS: Final[dict[str, Callable[[Op], str]]] = {
    "CONV_2D": _check_convolution,
    "DEPTHWISE_CONV_2D": _check_depthwise,
}
"""Op kind → check that returns the reason why an op cannot run channel-first, empty when it can."""


def _other_readers(graph: Graph, region: list[Op], ends: list[Op]) -> list[str]:
    inside = {*region, *(own_pad(op) for op in region if op.kind in _PADDED)}
    found = []
    for op in region:
        if op in ends:
            continue
        for tensor in op.outputs:
            others = [r for r, _ in tensor.consumers if r not in inside]
            found += [f"'{tensor.name}' is also read by {r.kind} '{r.name}'" for r in others]
            found += [f"'{tensor.name}' is also an output"] if tensor in graph.outputs else []
    return found


def _unflattened(ends: list[Op]) -> list[str]:
    """Dense layers that read the MEAN in four dimensions: XNNPACK without AVX fails to prepare them."""
    readers = [(op, r) for op in ends for r, _ in op.outputs[0].consumers if len(op.outputs[0].shape) == 4]
    return [f"MEAN '{op.name}' is not flattened for {r.kind}" for op, r in readers if r.kind != "RESHAPE"]


def _too_few_zeros(region: list[Op]) -> list[str]:
    weights = [op.inputs[1] for op in region if op.kind == "CONV_2D" and kernel_of(op) == (1, 1)]
    arrays = [w.data for w in weights if w is not None and w.data is not None]
    total = sum(a.size for a in arrays)
    zeros = total - sum(int(np.count_nonzero(a)) for a in arrays)
    if total and zeros > _LEAST_ZEROS * total:
        return []
    return [
        f"{format_percent(zeros / max(total, 1), 0)} of the 1×1 weights are zero; it takes more than 67 %"
    ]

"""Convolutions, dense layers and matrix products written so that a GPU computes them right; all exact."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from tightfit.graph.ir import Op, Tensor
from tightfit.targets.fixes.fix_batches import tiled
from tightfit.targets.fixes.fix_constants import changed, stored
from tightfit.targets.fixes.fix_layout import constant
from tightfit.targets.fixes.fix_reduction import reshape, reshape_to
from tightfit.targets.limits.operand_roles import option, values, weights
from tightfit.targets.partition import is_unpacking

_ACTIVATION = "fusedActivationFunction"


def slice_before_stride(op: Op) -> list[Op] | None:
    """Return a 1×1 convolution that moves by n as a slice with step n and a convolution that moves by 1."""
    source, filters = op.input(0), weights(op)
    if source is None or filters is None or filters.shape[1:3] != (1, 1) or len(source.shape) != 4:
        return None
    steps = [1, int(option(op, "strideH", 1)), int(option(op, "strideW", 1)), 1]
    shape = [-(-d // s) for d, s in zip(source.shape, steps, strict=True)]
    thin = Tensor(f"{op.name}/strided", shape, source.dtype, quantization=source.quantization)
    ends = [
        constant(f"{op.name}/{word}", numbers)
        for word, numbers in (("begin", [0] * 4), ("end", list(source.shape)), ("steps", steps))
    ]
    options = op.options | {"strideH": 1, "strideW": 1}
    return [
        Op("STRIDED_SLICE", [source, *ends], [thin], {}, "StridedSliceOptions"),
        Op(op.kind, [thin, *op.inputs[1:]], op.outputs, options, op.options_type),
    ]


def bias_as_add(op: Op) -> list[Op] | None:
    """Return a float dense layer without a bias and an ADD of it, which takes the activation."""
    bias, target = op.input(2), op.outputs[0]
    if bias is None or target.dtype != "float32" or len(target.shape) < 2:
        return None
    plain = Tensor(f"{op.name}/product", target.shape)
    add = {_ACTIVATION: op.options.get(_ACTIVATION, 0)}
    return [
        Op(op.kind, [*op.inputs[:2], None], [plain], op.options | {_ACTIVATION: 0}, op.options_type),
        Op("ADD", [plain, bias], [target], add, "AddOptions"),
    ]


def dense_rows(op: Op) -> list[Op] | None:
    """Return a dense layer on rows of as many values as it reads, reshaped before and after."""
    source, kernel, target = op.input(0), op.input(1), op.outputs[0]
    if source is None or kernel is None or len(kernel.shape) != 2:
        return None
    units, depth = kernel.shape
    rows, first = reshape(source, (source.size // depth, depth), "rows")
    made = Tensor(f"{op.name}/rows", (rows.shape[0], units), target.dtype, quantization=target.quantization)
    options = op.options | {"keepNumDims": False}
    return [
        first,
        Op(op.kind, [rows, *op.inputs[1:]], [made], options, op.options_type),
        reshape_to(made, target),
    ]


def equal_batches(op: Op) -> list[Op] | None:
    """Return a matrix product with both operands repeated to the same leading dimensions."""
    a, b, target = op.input(0), op.input(1), op.outputs[0]
    if a is None or b is None or len(target.shape) > 4:
        return None
    made: list[Op] = []
    options = dict(op.options)
    if stored(b) is not None and b.dtype != "int4":
        b = _plain_constant(b, options, op.name, made)
    lead = target.shape[:-2]
    left, right = (_repeated(t, lead, op.name, made) for t in (a, b))
    return [*made, Op(op.kind, [left, right], [target], options, op.options_type)]


def _plain_constant(tensor: Tensor, options: dict[str, object], name: str, made: list[Op]) -> Tensor:
    """The constant that needs no transposition: it is transposed in the file."""
    scales = 1 if tensor.quantization is None else tensor.quantization.scale.size
    if not options.get("adjY") or scales > 1:
        return tensor
    options["adjY"] = False
    return changed(tensor, lambda values: np.swapaxes(values, -1, -2), f"{name}/plain", made)


def _repeated(tensor: Tensor, lead: tuple[int, ...], name: str, made: list[Op]) -> Tensor:
    """The tensor with these leading dimensions: a constant in the file, another by RESHAPE and TILE."""
    if tensor.shape[:-2] == lead:
        return tensor
    shape = (1,) * (len(lead) + 2 - len(tensor.shape)) + tensor.shape
    times = [n // d for n, d in zip(lead, shape[:-2], strict=True)] + [1, 1]
    if tensor.is_constant or (tensor.producer is not None and is_unpacking(tensor.producer)):
        if len(tensor.shape) == 2:  # one matrix for all
            return tensor
        return changed(tensor, lambda v: np.tile(v.reshape(shape), times), f"{name}/repeated", made)
    if shape != tensor.shape:
        tensor, op = reshape(tensor, shape, "leading")
        made.append(op)
    found, op = tiled(tensor, times, f"{tensor.name}/repeated")
    made.append(op)
    return found


def whole_transposed(op: Op) -> list[Op] | None:
    """Return a transposed convolution of the whole output (VALID) and a slice of what SAME keeps."""
    size, filters, source, target = values(op, 0), op.input(1), op.input(2), op.outputs[0]
    if size is None or filters is None or source is None or len(size) != 4:
        return None
    whole, begin = list(size), [0, 0, 0, 0]
    for axis, step in ((1, "strideH"), (2, "strideW")):
        stride = int(option(op, step, 1))
        whole[axis] = (source.shape[axis] - 1) * stride + filters.shape[axis]
        if whole[axis] < size[axis]:
            return None
        begin[axis] = (whole[axis] - size[axis]) // 2
    full = Tensor(f"{op.name}/whole", whole, target.dtype, quantization=target.quantization)
    options = op.options | {"padding": 1}
    ends = [constant(f"{op.name}/begin", begin), constant(f"{op.name}/size", size)]
    return [
        Op(
            op.kind, [constant(f"{op.name}/shape", whole), *op.inputs[1:]], [full], options, op.options_type
        ),
        Op("SLICE", [full, *ends], [target], {}, "SliceOptions"),
    ]  # fmt: skip


def split_groups(op: Op) -> list[Op] | None:
    """Return one convolution a group between a SPLIT and a CONCATENATION of channels."""
    source, filters, bias, target = op.input(0), weights(op), op.input(2), op.outputs[0]
    if (
        source is None
        or filters is None
        or stored(filters) is None
        or (bias is not None and stored(bias) is None)
    ):
        return None
    depth = filters.shape[-1]
    groups, units = source.shape[-1] // depth, filters.shape[0]
    if groups < 2 or units % groups:
        return None
    shape, like = (*source.shape[:-1], depth), source.quantization
    parts = [Tensor(f"{op.name}/in{i}", shape, source.dtype, quantization=like) for i in range(groups)]
    axis = Tensor(f"{op.name}/axis", (), "int32", np.array(3, np.int32))
    made = [Op("SPLIT", [axis, source], list(parts), {"numSplits": groups}, "SplitOptions")]
    outputs = [_group(op, part, i, units // groups, made) for i, part in enumerate(parts)]
    joined = {"axis": 3, _ACTIVATION: 0}
    return [*made, Op("CONCATENATION", list(outputs), [target], joined, "ConcatenationOptions")]


def _group(op: Op, part: Tensor, number: int, units: int, made: list[Op]) -> Tensor:
    """The output of one group's convolution, which is added to ``made``."""
    target = op.outputs[0]
    own = slice(number * units, (number + 1) * units)
    shape = (*target.shape[:-1], units)
    output = Tensor(f"{op.name}/out{number}", shape, target.dtype, quantization=target.quantization)
    constants = [t for t in op.inputs[1:3] if t is not None]
    shares = [_share(t, own, f"{op.name}/constant{i}of{number}", made) for i, t in enumerate(constants)]
    made.append(Op(op.kind, [part, *shares], [output], dict(op.options), op.options_type))
    return output


def _share(tensor: Tensor, own: slice, name: str, made: list[Op]) -> Tensor:
    """Some output channels of weights or a bias, with their scales."""
    q = tensor.quantization
    if q is not None and q.scale.size > 1:
        q = replace(q, scale=q.scale[own], zero_point=q.zero_point[own])
    return changed(tensor, lambda values: values[own], name, made, q)


def reshaped(op: Op) -> list[Op] | None:
    """Return SQUEEZE and EXPAND_DIMS as RESHAPE."""
    source = op.input(0)
    return None if source is None else [reshape_to(source, op.outputs[0])]


def repeated_slope(op: Op) -> list[Op] | None:
    """Return PRELU of one slope with the slope repeated for every channel."""
    source, slope = op.input(0), op.input(1)
    if source is None or slope is None or stored(slope) is None or slope.size != 1:
        return None
    shape = (*([1] * (len(source.shape) - 2)), source.shape[-1])
    made: list[Op] = []
    wide = changed(slope, lambda v: np.broadcast_to(v.reshape(()), shape), f"{op.name}/slope", made)
    return [*made, Op(op.kind, [source, wide], op.outputs, dict(op.options), op.options_type)]


def slice_then_reshape(op: Op) -> list[Op] | None:
    """Return a STRIDED_SLICE that drops axes as one that keeps them, and a RESHAPE."""
    source, begin, end, steps = op.input(0), values(op, 1), values(op, 2), values(op, 3)
    dropped = int(option(op, "shrinkAxisMask"))
    masks = ("ellipsisMask", "newAxisMask")
    if source is None or not begin or not end or not steps or any(option(op, m) for m in masks):
        return None
    if len(begin) != len(source.shape) or not dropped:
        return None
    first, last, by = _bounds(op, source.shape, begin, end, steps)
    shape = [len(range(f, e, s)) for f, e, s in zip(first, last, by, strict=True)]
    if math.prod(shape) != op.outputs[0].size or any(s < 1 for s in by):
        return None
    kept = Tensor(f"{op.name}/kept", shape, source.dtype, quantization=source.quantization)
    ends = [
        constant(f"{op.name}/{word}", numbers)
        for word, numbers in (("begin", first), ("end", last), ("steps", by))
    ]
    return [
        Op("STRIDED_SLICE", [source, *ends], [kept], {}, "StridedSliceOptions"),
        reshape_to(kept, op.outputs[0]),
    ]


def _bounds(
    op: Op, shape: tuple[int, ...], begin: list[int], end: list[int], steps: list[int]
) -> tuple[list[int], list[int], list[int]]:
    """First, last and step of each axis, without masks and negative positions."""
    first, last, by = [], [], list(steps)
    for i, size in enumerate(shape):
        bit = 1 << i
        start = 0 if int(option(op, "beginMask")) & bit else begin[i]
        start = start + size if start < 0 else start
        if int(option(op, "shrinkAxisMask")) & bit:
            first.append(start)
            last.append(start + 1)
            by[i] = 1
            continue
        stop = size if int(option(op, "endMask")) & bit else end[i]
        stop = stop + size if stop < 0 else stop
        first.append(min(start, size))
        last.append(min(stop, size))
    return first, last, by

"""Ops that a GPU refuses, written with ops that it takes: repeated operands, sums of several, clips."""

from __future__ import annotations

import math

import numpy as np

from tightfit.graph.ir import Op, Tensor
from tightfit.quantization.arithmetic import LIMITS, dequantize
from tightfit.targets.fixes.fix_batches import tiled
from tightfit.targets.fixes.fix_layout import constant
from tightfit.targets.fixes.fix_reduction import reshape, reshape_to
from tightfit.targets.limits.operand_roles import values


def repeated(op: Op) -> list[Op] | None:
    """Return a BROADCAST_TO of fixed shape as TILE."""
    source, target = op.input(0), op.outputs[0]
    if source is None or values(op, 1) is None or not target.shape:
        return None
    made: list[Op] = []
    _as_wide(source, target.shape, op.name, made)
    if not made:
        return None
    made[-1].outputs = [target]
    return made


def repeated_choices(op: Op) -> list[Op] | None:
    """Return a SELECT_V2 with each value repeated to the output's shape; single values stay."""
    target = op.outputs[0]
    made: list[Op] = []
    operands: list[Tensor | None] = []
    for position, tensor in enumerate(op.inputs):
        if (
            tensor is None
            or tensor.shape == target.shape
            or (position and tensor.size == 1 and len(tensor.shape) <= 1)
        ):
            operands.append(tensor)
        elif tensor.data is not None:
            operands.append(_stored_wide(tensor, target.shape, f"{op.name}/operand{position}"))
        else:
            operands.append(_as_wide(tensor, target.shape, f"{op.name}/operand{position}", made))
    return [*made, Op(op.kind, operands, [target], dict(op.options), op.options_type)]


def _as_wide(tensor: Tensor, shape: tuple[int, ...], name: str, made: list[Op]) -> Tensor:
    """A computed tensor as large as a shape that it broadcasts to."""
    own = (1,) * (len(shape) - len(tensor.shape)) + tensor.shape
    if own != tensor.shape:
        tensor, op = reshape(tensor, own, name)
        made.append(op)
    if own == shape:
        return tensor
    found, op = tiled(tensor, tuple(n // o for n, o in zip(shape, own, strict=True)), f"{name}/wide")
    made.append(op)
    return found


def _stored_wide(tensor: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    """A constant as large as a shape that it broadcasts to."""
    stored = np.ascontiguousarray(np.broadcast_to(np.asarray(tensor.data), shape))
    return Tensor(name, shape, tensor.dtype, stored, tensor.quantization)


def gathered_rows(op: Op) -> list[Op] | None:
    """Return an EMBEDDING_LOOKUP of integers as GATHER of rows; its indices have one dimension."""
    indices, table = op.input(0), op.input(1)
    if indices is None or table is None or not table.is_quantized or len(indices.shape) != 1:
        return None
    options = {"axis": 0, "batchDims": 0}
    return [Op("GATHER", [table, indices], list(op.outputs), options, "GatherOptions")]


def one_hot_of_reals(op: Op) -> list[Op] | None:
    """Return a ONE_HOT of integers as one of the reals that they stand for, quantized after it."""
    target, q = op.outputs[0], op.outputs[0].quantization
    ends = [op.input(2), op.input(3)]
    if q is None or not target.is_quantized or any(t is None or t.data is None for t in ends):
        return None
    reals = [
        Tensor(f"{op.name}/{word}", t.shape, "float32", dequantize(t.data, q.scale, q.zero_point))
        for word, t in zip(("on", "off"), ends, strict=True)
        if t is not None and t.data is not None
    ]
    made = Tensor(f"{op.name}/reals", target.shape)
    first = Op(op.kind, [*op.inputs[:2], *reals], [made], dict(op.options), op.options_type)
    return [first, Op("QUANTIZE", [made], [target])]


def added_in_turn(op: Op) -> list[Op] | None:
    """Return an ADD_N of three or more as ADDs, in the order in which the kernel adds."""
    first, *others = op.inputs
    if first is None or len(others) < 2 or op.outputs[0].dtype not in ("float32", "int32"):
        return None
    made: list[Op] = []
    total = first
    for place, other in enumerate(others):
        last = place == len(others) - 1
        found = op.outputs[0] if last else Tensor(f"{op.name}/sum{place}", total.shape, total.dtype)
        made.append(Op("ADD", [total, other], [found], {"fusedActivationFunction": 0}, "AddOptions"))
        total = found
    return made


def clipped(op: Op) -> list[Op] | None:
    """Return a RELU_0_TO_1 of reals as RELU and MINIMUM."""
    source, target = op.input(0), op.outputs[0]
    if source is None or source.dtype != "float32":
        return None
    positive = Tensor(f"{op.name}/positive", source.shape)
    one = Tensor(f"{op.name}/one", (1,), "float32", np.ones(1, np.float32))
    return [
        Op("RELU", [source], [positive]),
        Op("MINIMUM", [positive, one], [target], {}, "MaximumMinimumOptions"),
    ]


def smallest_as_largest(op: Op) -> list[Op] | None:
    """Return an ARG_MIN of reals as ARG_MAX of the negative values."""
    source, target = op.input(0), op.outputs[0]
    if source is None or source.dtype != "float32":
        return None
    negative = Tensor(f"{op.name}/negative", source.shape)
    largest = Op("ARG_MAX", [negative, *op.inputs[1:]], [target], dict(op.options), "ArgMaxOptions")
    return [Op("NEG", [source], [negative], {}, "NegOptions"), largest]


def top_of_padded(op: Op) -> list[Op] | None:
    """Return a TOPK_V2 on values that are padded with the lowest to a multiple of 4, as [1, 1, rows, n]."""
    source, count = op.input(0), values(op, 1)
    if source is None or count is None or not source.shape or source.dtype not in ("float32", "int8"):
        return None
    more = -source.shape[-1] % 4
    if not more:
        return None
    rows = math.prod(source.shape[:-1])
    image, first = reshape(source, (1, 1, rows, source.shape[-1]), "rows")
    low = np.finfo(np.float32).min if source.dtype == "float32" else LIMITS["int8"][0]
    lowest = Tensor(
        f"{op.name}/lowest", (1,), source.dtype, np.array([low], source.dtype), source.quantization
    )
    wide = Tensor(
        f"{op.name}/wide",
        (1, 1, rows, source.shape[-1] + more),
        source.dtype,
        quantization=source.quantization,
    )
    amounts = constant(f"{op.name}/amounts", [[0, 0], [0, 0], [0, 0], [0, more]])
    tops = [
        Tensor(f"{op.name}/top{i}", (1, 1, rows, count[0]), t.dtype, quantization=t.quantization)
        for i, t in enumerate(op.outputs)
    ]
    return [
        first,
        Op("PADV2", [image, amounts, lowest], [wide], {}, "PadV2Options"),
        Op(op.kind, [wide, *op.inputs[1:]], tops, dict(op.options), op.options_type),
        *(reshape_to(top, target) for top, target in zip(tops, op.outputs, strict=True)),
    ]

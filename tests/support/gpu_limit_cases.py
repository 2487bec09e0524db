"""For each limit of the GPU accelerator: a model that keeps it and one that breaks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from support.integer_models import conv, feature, fixed, model_of, unary, weights
from support.limit_models import (
    Limited,
    conv_with,
    gathered,
    lstm,
    padded,
    prelu,
    sliced,
    softmax,
    transposed,
)
from tightfit.graph.ir import Model, Op, Tensor


def real(name: str, shape: Sequence[int]) -> Tensor:
    return Tensor(name, shape)


def constant(name: str, shape: Sequence[int]) -> Tensor:
    return fixed(name, np.ones(shape), "float32")


def pair(first: Sequence[int], second: Tensor) -> Model:
    y = real("y", np.broadcast_shapes(tuple(first), second.shape))
    return model_of("ADD", [real("x", first), second], [y], "AddOptions", fusedActivationFunction=0)


def rows(source: Sequence[int], depth: int, *, computed: bool = False, bias: bool = False) -> Model:
    kernel = real("w", (5, depth)) if computed else constant("w", (5, depth))
    inputs = [real("x", source), kernel, *([constant("b", (5,))] if bias else [])]
    count = int(np.prod(source)) // depth
    return model_of("FULLY_CONNECTED", inputs, [real("y", (count, 5))], "FullyConnectedOptions")


def product(a: Sequence[int], b: Sequence[int]) -> Model:
    y = real("y", (*np.broadcast_shapes(tuple(a[:-2]), tuple(b[:-2])), a[-2], b[-1]))
    return model_of("BATCH_MATMUL", [real("a", a), real("b", b)], [y], "BatchMatMulOptions")


def summed(**options: bool) -> Model:
    x, y = real("x", (1, 3, 4)), real("y", (1, 3, 4))
    return model_of("CUMSUM", [x, fixed("axis", 1)], [y], "CumsumOptions", **options)


def chosen(second: Sequence[int]) -> Model:
    flags = Tensor("c", (2, 3, 4), "bool")
    return model_of("SELECT_V2", [flags, real("a", (2, 3, 4)), real("b", second)], [real("y", (2, 3, 4))])


def grouped(depth: int, *, computed: bool = False) -> Model:
    model = conv((1, 8, 8, 2 * depth), (1, 8, 8, 8))
    filters = feature("w", (8, 3, 3, depth)) if computed else weights("w", 8, 3, 3, depth)
    model.main.ops[0].inputs[1] = filters
    return model


def integer_rows(source: Sequence[int]) -> Model:
    inputs = [feature("x", source), weights("w", 5, 6)]
    count = int(np.prod(source)) // 6
    return model_of("FULLY_CONNECTED", inputs, [feature("y", (count, 5))], "FullyConnectedOptions")


def sum_of(a: Sequence[int], b: Sequence[int]) -> Model:
    y = feature("y", np.broadcast_shapes(tuple(a), tuple(b)))
    inputs = [feature("a", a), feature("b", b)]
    return model_of("ADD", inputs, [y], "AddOptions", fusedActivationFunction=0)


def times(second: Tensor) -> Model:
    inputs = [feature("x", (2, 3), second.dtype), second]
    return model_of("MUL", inputs, [feature("y", (2, 3), second.dtype)], "MulOptions")


def unpacked_product(count: int) -> Model:
    """A product with matrices that a DEQUANTIZE unpacks."""
    model = model_of("DEQUANTIZE", [weights("w", count, 4, 5)], [real("b", (count, 4, 5))])
    b, a, y = model.main.outputs[0], real("a", (count, 3, 4)), real("y", (count, 3, 5))
    model.main.append(Op("BATCH_MATMUL", [a, b], [y], {}, "BatchMatMulOptions"))
    model.main.inputs, model.main.outputs = [a], [y]
    return model


def turned(channels: int) -> Model:
    inputs = [real("x", (2, 3, channels)), fixed("axis", [2])]
    return model_of("REVERSE_V2", inputs, [real("y", (2, 3, channels))], "ReverseV2Options")


def top(channels: int) -> Model:
    outputs = [real("y", (2, 3)), Tensor("places", (2, 3), "int32")]
    return model_of("TOPK_V2", [real("x", (2, channels)), fixed("k", 3)], outputs, "TopKV2Options")


def one_hot(shape: Sequence[int], dtype: str = "float32") -> Model:
    ends = [constant("on", ()), constant("off", ())]
    inputs = [Tensor("x", shape, "int32"), fixed("depth", 4), *ends]
    y = real("y", (*shape, 4)) if dtype == "float32" else feature("y", (*shape, 4), dtype)
    return model_of("ONE_HOT", inputs, [y], "OneHotOptions", axis=-1)


def largest(channels: int) -> Model:
    inputs = [real("x", (2, 3, channels)), fixed("axis", [2])]
    return model_of("ARG_MAX", inputs, [Tensor("y", (2, 3), "int32")], "ArgMaxOptions", outputType=2)


def updated(shape: Sequence[int]) -> Model:
    part, begin = real("part", [1] * len(shape)), Tensor("begin", (len(shape),), "int32")
    inputs = [real("x", shape), part, begin]
    return model_of("DYNAMIC_UPDATE_SLICE", inputs, [real("y", shape)], "DynamicUpdateSliceOptions")


def unpacked(count: int) -> Model:
    model = model_of("DEQUANTIZE", [feature("x", (4, 2))], [real("y", (4, 2))])
    q = model.main.inputs[0].quantization
    assert q is not None
    model.main.inputs[0].quantization = type(q)(np.ones(count, np.float32), np.zeros(count, np.int64))
    return model


def kept(target: Sequence[int]) -> Model:
    inputs = [real("x", (2, 3, 6)), constant("w", (5, 6))]
    return model_of("FULLY_CONNECTED", inputs, [real("y", target)], "FullyConnectedOptions", keepNumDims=True)


def looked_up(*, computed: bool, dtype: str = "float32") -> Model:
    ids = Tensor("ids", (2,), "int32") if computed else fixed("ids", [0, 1])
    table = weights("table", 4, 8) if dtype == "int8" else constant("table", (4, 8))
    y = feature("y", (2, 8), dtype, 0.01) if dtype == "int8" else real("y", (2, 8))
    return model_of("EMBEDDING_LOOKUP", [ids, table], [y])


def typed(source: str, target: str) -> Model:
    return model_of("CAST", [Tensor("x", (2, 3), source)], [Tensor("y", (2, 3), target)], "CastOptions")


def with_state() -> Model:
    model = lstm(8)
    op = model.main.ops[0]
    model.main.set_input(op, 18, Tensor("state", (1, 4), "int8", is_variable=True))
    return model


def versioned(version: int) -> Model:
    model = unary("ABS")
    model.main.ops[0].version = version
    return model


def cell(kind: int) -> Model:
    return model_of("LSTM", [real("x", (1, 4))], [real("y", (1, 4))], "LSTMOptions", kernelType=kind)


def tanh(activation: int) -> Model:
    return conv(activation=activation)


def blocks(batch: int) -> Model:
    x, y = feature("x", (batch, 4, 4, 1)), feature("y", (batch, 2, 2, 4))
    return model_of("SPACE_TO_DEPTH", [x], [y], "SpaceToDepthOptions", blockSize=2)


def mirrored(mode: int) -> Model:
    model = padded([[0, 0], [1, 1], [1, 1], [0, 0]])
    model.main.ops[0].kind, model.main.ops[0].options = "MIRROR_PAD", {"mode": mode}
    return model


def padded_rows(batch: int) -> Model:
    inputs: list[Any] = [real("x", (batch, 3, 4)), fixed("p", [[0, 0], [1, 1], [0, 0]])]
    return model_of("PAD", inputs, [real("y", (batch, 5, 4))], "PadOptions")


def twice() -> Model:
    x = real("x", (4,))
    model = model_of("SUB", [x, x], [real("y", (4,))], "SubOptions")
    model.main.inputs = [x]
    return model


def flat_gather() -> Model:
    model = gathered(1, 0)
    indices = fixed("i", [[0, 2]])
    model.main.set_input(model.main.ops[0], 1, indices)
    return model


COMPUTED = {"position": 0}
FLOATS = {"types": ("float32",)}

GPU_CASES: dict[str, Limited] = {
    "basic_cell": Limited(lambda: cell(0), lambda: cell(1)),
    "chosen_values": Limited(lambda: chosen((2, 3, 4)), lambda: chosen((1, 3, 4))),
    "computed_bias": Limited(conv, lambda: conv_with(feature("b", (8,)))),
    "computed_input": Limited(lambda: looked_up(computed=True), lambda: looked_up(computed=False), COMPUTED),
    "computed_inputs": Limited(
        lambda: rows((2, 6), 6), lambda: rows((2, 6), 6, computed=True), {"least": 1, "most": 1}
    ),
    "constant_batch": Limited(
        lambda: pair((4, 6), constant("c", (6,))), lambda: pair((4, 6), constant("c", (4, 6)))
    ),
    "dense_bias": Limited(
        lambda: rows((2, 6), 6, computed=True), lambda: rows((2, 6), 6, computed=True, bias=True)
    ),
    "dense_depth": Limited(lambda: rows((2, 6), 6), lambda: rows((2, 2, 3), 6)),
    "dense_rows": Limited(lambda: integer_rows((2, 6)), lambda: integer_rows((1, 2, 6))),
    "dense_rank": Limited(lambda: rows((1, 6), 6), lambda: rows((6,), 6)),
    "different_inputs": Limited(lambda: pair((4,), real("z", (4,))), twice),
    "every_rank": Limited(
        lambda: unary("ABS", (1, 2, 3, 4)), lambda: unary("ABS", (1, 1, 2, 3, 4)), {"most": 4}
    ),
    "fixed_sizes": Limited(
        lambda: padded([[0, 0]] * 4), lambda: padded([[0, 0]] * 4, constant=False), {"positions": (1,)}
    ),
    "fixed_groups": Limited(lambda: grouped(4), lambda: grouped(4, computed=True)),
    "forward_steps": Limited(lambda: sliced([1, 2, 2, 1]), lambda: sliced([1, -1, 1, 1])),
    "gathered_list": Limited(lambda: gathered(1, 0), flat_gather),
    "group_depth": Limited(lambda: grouped(4), lambda: grouped(2)),
    "input_types": Limited(lambda: typed("float32", "bool"), lambda: typed("int64", "bool"), FLOATS),
    "kept_rank": Limited(lambda: kept((2, 3, 5)), lambda: kept((6, 5))),
    "index_rank": Limited(lambda: one_hot((2, 3)), lambda: one_hot((1, 2, 3))),
    "real_output": Limited(lambda: one_hot((2, 3)), lambda: one_hot((2, 3), "int8")),
    "real_table": Limited(lambda: looked_up(computed=True), lambda: looked_up(computed=True, dtype="int8")),
    "reversed_channels": Limited(lambda: turned(8), lambda: turned(6)),
    "largest_of_channels": Limited(lambda: largest(8), lambda: largest(5)),
    "matching_batches": Limited(lambda: product((2, 3, 4), (2, 4, 5)), lambda: product((2, 3, 4), (1, 4, 5))),
    "no_computed_scalar": Limited(lambda: pair((4,), real("z", (1,))), lambda: pair((4,), real("z", ()))),
    "no_fused_tanh": Limited(lambda: tanh(1), lambda: tanh(4)),
    "no_int16": Limited(lambda: unary("ABS"), lambda: unary("ABS", dtype="int16")),
    "no_variables": Limited(lambda: lstm(8), with_state),
    "same_ranks": Limited(lambda: sum_of((2, 3), (1, 3)), lambda: sum_of((2, 3), (3,))),
    "one_dequantization_scale": Limited(lambda: unpacked(1), lambda: unpacked(4)),
    "one_image": Limited(lambda: blocks(1), lambda: blocks(2)),
    "output_types": Limited(lambda: typed("bool", "float32"), lambda: typed("bool", "int64"), FLOATS),
    "padded_batch": Limited(lambda: padded_rows(1), lambda: padded_rows(2)),
    "plain_sum": Limited(summed, lambda: summed(reverse=True)),
    "int16_constant": Limited(
        lambda: times(fixed("c", [3], "int8", 0.1)), lambda: times(fixed("c", [3], "int16", 0.1)), {"most": 0}
    ),
    "top_count": Limited(lambda: top(12), lambda: top(8), {"least": 10}),
    "unpacked_matrix": Limited(lambda: unpacked_product(1), lambda: unpacked_product(2)),
    "top_of_channels": Limited(lambda: top(8), lambda: top(5)),
    "updated_rank": Limited(lambda: updated((1, 2, 4, 6)), lambda: updated((4, 6))),
    "reflecting": Limited(lambda: mirrored(0), lambda: mirrored(1)),
    "slope_shape": Limited(lambda: prelu((1, 1, 3)), lambda: prelu((1, 1, 1))),
    "softmax_rank": Limited(lambda: softmax((1, 4)), lambda: softmax((4,))),
    "strided_dense_filter": Limited(lambda: conv(kernel=1), lambda: conv(kernel=1, stride=2)),
    "transposed_padding": Limited(lambda: transposed((8, 8)), lambda: transposed((7, 8))),
    "version_at_most": Limited(lambda: versioned(2), lambda: versioned(3), {"most": 2}),
}

"""The models that ``limit_cases`` needs: one op each, with what a limit is about as an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from support.integer_models import SCALE, conv, feature, fixed, model_of, scales, unary, weights
from tightfit.graph.ir import Model, Op, Tensor


@dataclass(frozen=True)
class Limited:
    """A limit's numbers with a model that keeps it and one that breaks it."""

    good: Callable[[], Model]
    bad: Callable[[], Model]
    numbers: dict[str, Any] = field(default_factory=dict)


def dense(
    weights_shape: tuple[int, ...] = (5, 6), weight_dtype: str = "int8", x_dtype: str = "int8", **kinds: Any
) -> Model:
    x, y = feature("x", (1, 6), x_dtype), feature("y", (1, 5), x_dtype)
    w = weights("w", *weights_shape, dtype=weight_dtype)
    if kinds.get("channels"):
        w.quantization = scales([0.01] * weights_shape[0])
    b = fixed("b", kinds.get("bias", np.arange(5)), kinds.get("bias_dtype", "int32"), SCALE * 0.01)
    if kinds.get("runtime"):
        w, b = feature("w", weights_shape), None
    options = {"fusedActivationFunction": 0, "weightsFormat": kinds.get("format", 0)}
    return model_of("FULLY_CONNECTED", [x, w, b], [y], "FullyConnectedOptions", **options)


def float_dense(weight_dtype: str) -> Model:
    x, y = Tensor("x", (1, 6)), Tensor("y", (1, 5))
    return model_of(
        "FULLY_CONNECTED", [x, weights("w", 5, 6, dtype=weight_dtype)], [y], "FullyConnectedOptions"
    )


def conv_with(bias: Tensor | None, model: Model | None = None) -> Model:
    model = model or conv()
    model.main.set_input(model.main.ops[0], 2, bias)
    if bias is not None and bias.data is None:
        model.main.inputs.append(bias)
    return model


def depthwise(output: int, multiplier: int) -> Model:
    x, y = feature("x", (1, 8, 8, 4)), feature("y", (1, 8, 8, output))
    constants = weights("w", 1, 3, 3, output), weights("b", output)
    return model_of(
        "DEPTHWISE_CONV_2D", [x, *constants], [y], "DepthwiseConv2DOptions",
        depthMultiplier=multiplier, strideW=1, strideH=1,
    )  # fmt: skip


def conv_input(channels: int) -> Model:
    model = conv()
    model.main.inputs[0].shape = (1, 8, 8, channels)
    return model


def dilated(height: int, width: int) -> Model:
    model = conv()
    model.main.ops[0].options |= {"dilationHFactor": height, "dilationWFactor": width}
    return model


def after_pad(stride: int, size: int) -> Model:
    model = conv((1, size + 3, size + 3, 4), (1, 4, 4, 8), 7, stride=stride, padding=1)
    graph = model.main
    small, amounts = feature("small", (1, size, size, 4)), fixed("p", [[0, 0], [1, 2], [1, 2], [0, 0]])
    graph.insert(0, Op("PAD", [small, amounts], [graph.inputs[0]], {}, "PadOptions"))
    graph.inputs[0] = small
    return model


def transposed(output: tuple[int, int], stride: tuple[int, int] = (2, 2)) -> Model:
    x, y = feature("x", (1, 4, 4, 3)), feature("y", (1, *output, 5))
    size, w = fixed("size", [1, *output, 5]), weights("w", 5, 3, 3, 3)
    return model_of(
        "TRANSPOSE_CONV",
        [size, w, x],
        [y],
        "TransposeConvOptions",
        padding=0,
        strideH=stride[0],
        strideW=stride[1],
    )


def heavy(value: int) -> Model:
    model = conv((1, 4, 4, 8000), (1, 4, 4, 1), 3)
    model.main.ops[0].inputs[1].data = np.full((1, 3, 3, 8000), value, np.int8)
    return model


def padded(amounts: Any, dtype: str = "int32", *, constant: bool = True) -> Model:
    p = fixed("p", amounts, dtype)
    shape = [d + int(a.sum()) for d, a in zip((1, 4, 4, 2), p.data, strict=True)]
    x, y = feature("x", (1, 4, 4, 2)), feature("y", shape)
    if not constant:
        p.data = None
    return model_of("PAD", [x, p], [y], "PadOptions")


def sliced(steps: list[int], **masks: int) -> Model:
    x, y = feature("x", (1, 8, 8, 4)), feature("y", (1, 4, 4, 4))
    ends = [fixed("begin", [0] * 4), fixed("end", [1, 8, 8, 4]), fixed("steps", steps)]
    return model_of("STRIDED_SLICE", [x, *ends], [y], "StridedSliceOptions", **masks)


def permuted(shape: tuple[int, ...], order: list[int], dtype: str = "int8") -> Model:
    x, y = feature("x", shape, dtype), feature("y", [shape[i] for i in order[: len(shape)]], dtype)
    return model_of("TRANSPOSE", [x, fixed("order", order)], [y], "TransposeOptions")


def prelu(shape: tuple[int, ...], dtype: str = "int8") -> Model:
    slope = fixed("slope", np.arange(np.prod(shape)).reshape(shape) + 1, "int8", 0.01)
    return model_of("PRELU", [feature("x", (1, 4, 4, 3), dtype), slope], [feature("y", (1, 4, 4, 3), dtype)])


def gathered(axis: int, dims: int) -> Model:
    x, y = feature("x", (2, 6, 4)), feature("y", (2, 2, 4))
    return model_of("GATHER", [x, fixed("i", [0, 2])], [y], "GatherOptions", axis=axis, batchDims=dims)


def joined(count: int) -> Model:
    parts = [feature(f"x{i}", (1, 2)) for i in range(count)]
    return model_of("CONCATENATION", parts, [feature("y", (1, 2 * count))], "ConcatenationOptions", axis=1)


def split(count: int) -> Model:
    parts = [feature(f"y{i}", (1, 2)) for i in range(count)]
    return model_of(
        "SPLIT", [fixed("axis", 1), feature("x", (1, 2 * count))], parts, "SplitOptions", numSplits=count
    )


def lstm(gates: int) -> Model:
    inputs: list[Tensor | None] = [feature("x", (1, 3, 4)), *(weights(f"w{i}", 4, 4) for i in range(gates))]
    inputs += [None] * (24 - len(inputs))
    return model_of("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [feature("y", (1, 3, 4))])


def scattered(positions: list[int]) -> Model:
    indices = fixed("i", [[p] for p in positions])
    values, y = feature("v", (len(positions), 2)), feature("y", (6, 2))
    return model_of("SCATTER_ND", [indices, values, fixed("shape", [6, 2])], [y])


def argmax(depth: int) -> Model:
    y = Tensor("y", (1, 4), "int32")
    return model_of("ARG_MAX", [feature("x", (1, 4, depth)), fixed("axis", 2)], [y], "ArgMaxOptions")


def reversed_over(axes: list[int]) -> Model:
    return model_of(
        "REVERSE_V2", [feature("x", (1, 4, 4, 2)), fixed("axes", axes, "int32")], [feature("y", (1, 4, 4, 2))]
    )


def with_types(source: str, target: str) -> Model:
    return model_of("ABS", [feature("x", (1, 4), source)], [feature("y", (1, 4), target)])


def with_zero(zero: int) -> Model:
    return model_of("ABS", [feature("x", (1, 4), zero=zero)], [feature("y", (1, 4))])


def with_scale(scale: float) -> Model:
    return model_of("RESHAPE", [feature("x", (1, 4), scale=scale)], [feature("y", (4,))])


def dynamic(signature: tuple[int, ...]) -> Model:
    model = unary("ABS")
    model.main.inputs[0].shape_signature = signature
    return model


def unscaled() -> Model:
    model = unary("ABS")
    model.main.inputs[0].quantization = None
    return model


def many_scales() -> Model:
    model = unary("ABS")
    model.main.inputs[0].quantization = scales([0.1] * 4)
    return model


def added(shape: tuple[int, ...], output: tuple[int, ...] = (1, 4, 4, 2)) -> Model:
    a, b = feature("a", (1, 4, 4, 2)), feature("b", shape)
    return model_of("ADD", [a, b], [feature("y", output)], "AddOptions", fusedActivationFunction=0)


def multiplied(depth: int) -> Model:
    a, b = feature("a", (1, 2, depth)), feature("b", (1, depth, 3))
    return model_of("BATCH_MATMUL", [a, b], [feature("y", (1, 2, 3))], "BatchMatMulOptions")


def comparison() -> Model:
    return model_of("EQUAL", [feature("a", (1, 4)), feature("b", (1, 4))], [Tensor("y", (1, 4), "bool")])


def softmax(shape: tuple[int, ...], beta: float = 1.0) -> Model:
    return unary("SOFTMAX", shape, table="SoftmaxOptions", beta=beta)


def two_types(second: str) -> Model:
    return model_of("ADD", [feature("a", (1, 4)), feature("b", (1, 4), second)], [feature("y", (1, 4))])


def big_bias() -> Tensor:
    return fixed("b", [0] * 7 + [1 << 49], "int64", 0.0005)

"""Models of one integer op each, for the tests of limits and fixes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Quantization, Tensor

SCALE = 0.05


def scales(scale: float | Sequence[float] = SCALE, zero_point: int = 0) -> Quantization:
    steps = np.atleast_1d(np.asarray(scale, np.float32))
    return Quantization(steps, np.full(steps.shape, zero_point, np.int64))


def feature(
    name: str, shape: Sequence[int], dtype: str = "int8", scale: float = SCALE, zero: int = 0
) -> Tensor:
    quantization = scales(scale, zero) if dtype in ("int8", "uint8", "int16") else None
    return Tensor(name, shape, dtype, quantization=quantization)


def fixed(name: str, numbers: Any, dtype: str = "int32", scale: float | None = None) -> Tensor:
    values = np.asarray(numbers, "int8" if dtype == "int4" else dtype)
    return Tensor(name, values.shape, dtype, values, None if scale is None else scales(scale))


def weights(name: str, *shape: int, dtype: str = "int8", scale: float = 0.01) -> Tensor:
    random = np.random.default_rng(len(shape) * 7 + shape[0])
    low, high = (-7, 8) if dtype == "int4" else (-127, 128)
    return fixed(name, random.integers(low, high, shape), dtype, scale)


def model_of(
    kind: str,
    inputs: Sequence[Tensor | None],
    outputs: Sequence[Tensor],
    table: str | None = None,
    **options: Any,
) -> Model:
    """A model of one op: operands without data are its inputs."""
    graph = Graph()
    graph.inputs = [t for t in inputs if t is not None and t.data is None]
    graph.outputs = list(outputs)
    graph.append(Op(kind, inputs, outputs, options, table))
    return Model([graph])


def conv(
    shape: Sequence[int] = (1, 8, 8, 4), output: Sequence[int] = (1, 8, 8, 8), kernel: int = 3, *,
    stride: int = 1, padding: int = 0, dtype: str = "int8", weight_dtype: str = "int8",
    activation: int = 0, dilation: int = 1,
) -> Model:  # fmt: skip
    x, y = feature("x", shape, dtype), feature("y", output, dtype, 0.1)
    w = weights("w", output[-1], kernel, kernel, shape[-1], dtype=weight_dtype)
    b = fixed("b", np.arange(output[-1]) * 10, "int32" if dtype == "int8" else "int64", SCALE * 0.01)
    return model_of(
        "CONV_2D", [x, w, b], [y], "Conv2DOptions", padding=padding, strideW=stride, strideH=stride,
        dilationWFactor=dilation, dilationHFactor=dilation, fusedActivationFunction=activation,
    )  # fmt: skip


def pool(
    kind: str, shape: Sequence[int], output: Sequence[int], size: int, stride: int = 1, padding: int = 0
) -> Model:
    return model_of(
        kind, [feature("x", shape)], [feature("y", output)], "Pool2DOptions", padding=padding, strideW=stride,
        strideH=stride, filterWidth=size, filterHeight=size, fusedActivationFunction=0,
    )  # fmt: skip


def mean(shape: Sequence[int], axes: Sequence[int], dtype: str = "int8") -> Model:
    left = [1 if i in axes else d for i, d in enumerate(shape)]
    x, y = feature("x", shape, dtype), feature("y", left, dtype)
    return model_of("MEAN", [x, fixed("axes", axes)], [y], "ReducerOptions", keepDims=True)


def resize(
    shape: Sequence[int], output: Sequence[int], kind: str = "RESIZE_NEAREST_NEIGHBOR", **options: bool
) -> Model:
    table = "ResizeBilinearOptions" if "BILINEAR" in kind else "ResizeNearestNeighborOptions"
    x, y = feature("x", shape), feature("y", output)
    chosen = {"alignCorners": False, "halfPixelCenters": False, **options}
    return model_of(kind, [x, fixed("size", output[1:3])], [y], table, **chosen)


def unary(
    kind: str,
    shape: Sequence[int] = (1, 8, 8, 4),
    dtype: str = "int8",
    table: str | None = None,
    **options: Any,
) -> Model:
    return model_of(kind, [feature("x", shape, dtype)], [feature("y", shape, dtype)], table, **options)


def binary(
    kind: str,
    shape: Sequence[int] = (1, 8, 8, 4),
    second: float = SCALE,
    dtype: str = "int8",
    table: str | None = None,
) -> Model:
    a, b, y = feature("a", shape, dtype), feature("b", shape, dtype, second), feature("y", shape, dtype)
    options = {"fusedActivationFunction": 0} if table in ("AddOptions", "MulOptions", "SubOptions") else {}
    return model_of(kind, [a, b], [y], table, **options)


def with_float_ends(model: Model) -> Model:
    """The model with a QUANTIZE before each input and a DEQUANTIZE after each output."""
    graph = model.main
    for i, tensor in enumerate(list(graph.inputs)):
        real = Tensor(f"{tensor.name}_float", tensor.shape)
        graph.insert(0, Op("QUANTIZE", [real], [tensor], {}, "QuantizeOptions"))
        graph.inputs[i] = real
    for i, tensor in enumerate(list(graph.outputs)):
        real = Tensor(f"{tensor.name}_float", tensor.shape)
        graph.append(Op("DEQUANTIZE", [tensor], [real], {}, "DequantizeOptions"))
        graph.outputs[i] = real
    return model

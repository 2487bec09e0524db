"""Small ONNX models in the style of each producer, built with the onnx package's helper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
_NUMPY = {"int8": np.int8, "uint8": np.uint8, "int16": np.int16, "uint16": np.uint16}


class Quantized:
    """Writes nodes one after another; each method gives the name of its result.

    Args:
        dtype: of the activations. domain: of QuantizeLinear and DequantizeLinear.
    """

    def __init__(self, dtype: str = "uint8", *, seed: int = 0, domain: str = "") -> None:
        self.random = np.random.default_rng(seed)
        self.dtype, self.domain = dtype, domain
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def constant(self, values: Any) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def parameters(self, scale: Any, zero_point: Any, dtype: str | None = None) -> list[str]:
        zero = np.asarray(zero_point, _NUMPY[dtype or self.dtype])
        return [self.constant(np.asarray(scale, np.float32)), self.constant(zero)]

    def quantized(self, x: str, scale: float, zero_point: int, dtype: str | None = None) -> str:
        """Q and DQ behind a value."""
        names = self.parameters(scale, zero_point, dtype)
        integers = self.node("QuantizeLinear", x, *names, domain=self.domain)
        return self.node("DequantizeLinear", integers, *names, domain=self.domain)

    def weights(self, *shape: int, axis: int = 0, largest: int = 127) -> tuple[str, Array]:
        """int8 weights behind a DQ with a scale for each channel, and their scales."""
        integers = self.random.integers(-largest, largest + 1, shape).astype(np.int8)
        scale = self.random.uniform(0.5, 1.0, shape[axis]).astype(np.float32) / (
            60 * np.sqrt(integers[0].size)
        )
        zero = np.zeros(shape[axis], np.int8)
        names = [self.constant(v) for v in (integers, scale.astype(np.float32), zero)]
        return self.node("DequantizeLinear", *names, axis=axis), scale.astype(np.float32)

    def bias(self, scale: Array) -> str:
        """An int32 bias behind a DQ, as onnxruntime writes it."""
        integers = self.random.integers(-2000, 2000, scale.size).astype(np.int32)
        zero = np.zeros(scale.size, np.int32)
        return self.node("DequantizeLinear", *(self.constant(v) for v in (integers, scale, zero)), axis=0)

    def conv(self, x: str, scale: float, inputs: int, outputs: int, group: int = 1) -> str:
        """A 3×3 convolution of a dequantized value."""
        name, own = self.weights(outputs, inputs // group, 3, 3)
        return self.node("Conv", x, name, self.bias(own * np.float32(scale)), pads=[1] * 4, group=group)

    def model(
        self, output: str, shape: Sequence[int], size: Sequence[int], opset: int = 17, **types: int
    ) -> Any:
        ends = [
            helper.make_tensor_value_info("x", types.get("takes", TensorProto.FLOAT), shape),
            helper.make_tensor_value_info(output, types.get("gives", TensorProto.FLOAT), size),
        ]
        graph = helper.make_graph(self.nodes, "net", ends[:1], ends[1:], self.tensors)
        domains = [helper.make_opsetid(d, 1) for d in {n.domain for n in self.nodes} if d]
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), *domains])
        model.ir_version = 10
        return model


IMAGE = (1, 3, 8, 8)


def qdq_net(dtype: str = "uint8", *, domain: str = "") -> Any:
    """onnxruntime's QDQ: removed ReLUs, a depthwise layer, an unequal concatenation, a mean, softmax."""
    low, middle = (0, 128) if dtype == "uint8" else (-128, 0)
    b = Quantized(dtype, domain=domain)
    x = b.quantized("x", 0.02, middle)
    a = b.quantized(b.conv(x, 0.02, 3, 8), 0.03, low)
    p = b.quantized(b.node("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2]), 0.03, low)
    d = b.quantized(b.conv(p, 0.03, 8, 8, group=8), 0.04, middle + 3)
    c = b.quantized(b.conv(p, 0.03, 8, 8), 0.05, middle - 5)
    s = b.quantized(b.node("Add", d, c), 0.0613, low)
    j = b.quantized(b.node("Concat", s, c, axis=1), 0.0613, middle - 20)
    m = b.quantized(b.node("GlobalAveragePool", j), 0.03, middle - 20)
    f = b.quantized(b.node("Flatten", m), 0.03, middle - 20)
    name, own = b.weights(5, 16)
    y = b.quantized(b.node("Gemm", f, name, b.bias(own * np.float32(0.03)), transB=1), 0.02, middle)
    return b.model(b.quantized(b.node("Softmax", y, axis=-1), 1 / 255, low), IMAGE, (1, 5))


def qoperator_net() -> Any:
    """onnxruntime's operators on integers; weights below 64, whose sums no processor saturates."""
    b = Quantized()
    q = b.node("QuantizeLinear", "x", *b.parameters(0.02, 128))
    weights, scale = b.random.integers(-60, 61, (8, 3, 3, 3)).astype(np.int8), np.full(8, 0.004, np.float32)
    own = [b.constant(v) for v in (weights, scale, np.zeros(8, np.int8))]
    out = b.parameters(0.03, 0)
    bias = b.constant(b.random.integers(-900, 900, 8).astype(np.int32))
    a = b.node("QLinearConv", q, *b.parameters(0.02, 128), *own, *out, bias, pads=[1] * 4)
    p = b.node("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2])
    t = b.node("Pad", p, b.constant(np.asarray([0, 0, 1, 1, 0, 0, 0, 0])), b.constant(np.uint8(0)))
    s = b.node("QLinearAdd", t, *out, t, *out, *b.parameters(0.05, 3), domain="com.microsoft")
    g = b.node(
        "QLinearGlobalAveragePool", s, *b.parameters(0.05, 3), *b.parameters(0.04, 0), domain="com.microsoft"
    )
    f = b.node("Flatten", g)
    dense = b.random.integers(-60, 61, (4, 8)).astype(np.int8)
    matrix = [b.constant(v) for v in (dense, np.full(4, 0.01, np.float32), np.zeros(4, np.int8))]
    h = b.node(
        "QGemm", f, *b.parameters(0.04, 0), *matrix, b.constant(np.arange(4, dtype=np.int32) * 50),
        *b.parameters(0.03, 120), domain="com.microsoft", transB=1,
    )  # fmt: skip
    y = b.node("DequantizeLinear", h, *b.parameters(0.03, 120))
    return b.model(y, IMAGE, (1, 4))


def aimet_net() -> Any:
    """AIMET: float constants behind Q and DQ, float biases, kept ReLUs, the last layer's output quantized."""
    b = Quantized()
    x = b.quantized("x", 0.02, 128)
    weights = b.constant(b.random.normal(0, 0.1, (8, 3, 3, 3)).astype(np.float32))
    names = b.parameters(np.full(8, 0.003), np.zeros(8), "int8")
    integers = b.node("QuantizeLinear", weights, *names, axis=0)
    w = b.node("DequantizeLinear", integers, *names, axis=0)
    bias = b.constant(b.random.normal(0, 0.1, 8).astype(np.float32))
    r = b.quantized(b.node("Relu", b.node("Conv", x, w, bias, pads=[1] * 4)), 0.02, 0)
    return b.model(b.quantized(b.node("HardSwish", r), 0.02, 5), IMAGE, (1, 8, 8, 8))


def brevitas_net(bits: int = 4) -> Any:
    """Brevitas: few bits as a Clip between Q and DQ, weights clipped too, the last output float."""
    b = Quantized("int8")
    low, high = -(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1
    x = b.quantized("x", 0.02, 0)
    weights = b.constant(b.random.integers(-20, 21, (8, 3, 3, 3)).astype(np.int8))
    w = b.node("Clip", weights, b.constant(np.int8(low)), b.constant(np.int8(high)))
    own = b.constant(np.full(8, 0.05, np.float32)), b.constant(np.zeros(8, np.int8))
    conv = b.node("Conv", x, b.node("DequantizeLinear", w, *own, axis=0), pads=[1] * 4)
    names = b.parameters(0.0973, 0, "uint8")
    q = b.node("QuantizeLinear", b.node("Relu", conv), *names)
    c = b.node("Clip", q, b.constant(np.uint8(0)), b.constant(np.uint8(2**bits - 1)))
    return b.model(
        b.node("MaxPool", b.node("DequantizeLinear", c, *names), kernel_shape=[2, 2]), IMAGE, (1, 8, 7, 7)
    )


def nncf_net(points: Sequence[int] = (0, 0, 0, 0)) -> Any:
    """NNCF: float bias, ReLU, a scale for each channel before a depthwise convolution, no Q at the end."""
    b = Quantized("int8")
    x = b.quantized("x", 0.02, 1)
    name, _ = b.weights(4, 3, 3, 3)
    bias = b.constant(b.random.normal(0, 0.1, 4).astype(np.float32))
    r = b.node("Relu", b.node("Conv", x, name, bias, pads=[1] * 4))
    scales = b.constant(np.asarray([0.01, 0.02, 0.015, 0.03], np.float32))
    zeros = b.constant(np.asarray(points, np.uint8))
    q = b.node("QuantizeLinear", r, scales, zeros, axis=1)
    d, _ = b.weights(4, 1, 3, 3)
    return b.model(
        b.node("Conv", b.node("DequantizeLinear", q, scales, zeros, axis=1), d, pads=[1] * 4, group=4),
        IMAGE, (1, 4, 8, 8),
    )  # fmt: skip


def qonnx_net() -> Any:
    """QONNX: one op Quant with the number of bits as an input."""
    b = Quantized()
    domain = "qonnx.custom_op.general"

    def quant(x: str, scale: Any, bits: float, *, signed: int = 1) -> str:
        names = [b.constant(np.asarray(v, np.float32)) for v in (scale, 0, bits)]
        return b.node("Quant", x, *names, domain=domain, signed=signed, narrow=1, rounding_mode="ROUND")

    weights = b.constant(b.random.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32))
    w = quant(weights, np.full((8, 1, 1, 1), 0.1), 4)
    r = b.node("Relu", b.node("Conv", quant("x", 0.02, 8), w, pads=[1] * 4))
    return b.model(quant(r, 0.2, 4, signed=0), IMAGE, (1, 8, 8, 8))


def dynamic_net() -> Any:
    """onnxruntime's dynamic quantization: ranges at run time, MatMulInteger, Cast, Mul, float Add."""
    b = Quantized()
    b.nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"], name="dyn"))
    weights = b.constant(b.random.integers(-60, 61, (16, 6)).astype(np.int8))
    product = b.node("MatMulInteger", "xq", weights, "xz", b.constant(np.int8(0)))
    scale = b.node("Mul", "xs", b.constant(np.float32(0.01)))
    cast = b.node("Cast", product, to=TensorProto.FLOAT)
    bias = b.constant(b.random.normal(0, 0.1, 6).astype(np.float32))
    return b.model(b.node("Add", b.node("Mul", cast, scale), bias), (1, 16), (1, 6))


def blocks_net() -> Any:
    """MatMulNBits: 4-bit weights in blocks along K."""
    b = Quantized()
    packed = b.random.integers(0, 256, (6, 2, 8)).astype(np.uint8)
    scales = b.random.uniform(0.01, 0.02, 12).astype(np.float32)
    y = b.node(
        "MatMulNBits", "x", b.constant(packed), b.constant(scales), domain="com.microsoft", K=32, N=6, bits=4,
        block_size=16,
    )  # fmt: skip
    return b.model(y, (1, 32), (1, 6))


def integer_ends_net() -> Any:
    """Integers in and out: DQ at the input, Q at the output."""
    b = Quantized()
    x = b.node("DequantizeLinear", "x", *b.parameters(0.02, 120))
    name, own = b.weights(8, 3, 3, 3)
    conv = b.node("Conv", x, name, b.bias(own * np.float32(0.02)), pads=[1] * 4)
    y = b.node("QuantizeLinear", conv, *b.parameters(0.05, 100))
    return b.model(y, IMAGE, (1, 8, 8, 8), takes=TensorProto.UINT8, gives=TensorProto.UINT8)


def asymmetric_weights_net() -> Any:
    """uint8 weights with a zero point, which no convolution of LiteRT's int8 takes."""
    b = Quantized()
    x = b.quantized("x", 0.02, 128)
    weights = b.constant(b.random.integers(0, 256, (8, 3, 3, 3)).astype(np.uint8))
    w = b.node("DequantizeLinear", weights, *b.parameters(0.004, 117))
    return b.model(b.quantized(b.node("Conv", x, w, pads=[1] * 4), 0.03, 128), IMAGE, (1, 8, 8, 8))


def answers(model: Any, inputs: Sequence[Array]) -> list[Array]:
    """What onnxruntime gives without its optimizer."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [session.run(None, {"x": x})[0] for x in inputs]

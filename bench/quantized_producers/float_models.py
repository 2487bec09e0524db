"""Small ONNX networks with random weights that the producers quantize; needs numpy and onnx only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = (1, 3, 24, 24)
OPSET = 17


class Builder:
    """Writes nodes one after another; each method gives the name of its result."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node of one output."""
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"/{name}", **attributes))
        return name

    def constant(self, values: Any) -> str:
        """Adds an initializer."""
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def conv(
        self, x: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, group: int = 1
    ) -> str:
        """Adds a convolution that keeps the size, with weights scaled like trained ones."""
        shape = (outputs, inputs // group, kernel, kernel)
        spread = self.random.uniform(0.5, 1.5, (outputs, 1, 1, 1))
        weights = self.random.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape) * spread
        bias = self.random.normal(0, 0.1, outputs)
        names = [self.constant(a.astype(np.float32)) for a in (weights, bias)]
        pad = kernel // 2
        return self.node(
            "Conv", x, *names, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, group=group
        )

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        """Adds a Gemm."""
        weights = self.random.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32)
        bias = self.random.normal(0, 0.1, outputs).astype(np.float32)
        return self.node("Gemm", x, self.constant(weights), self.constant(bias), transB=1)

    def save(self, output: str, size: int, path: Path) -> None:
        """Writes the model with one input ``x`` and one output."""
        ends = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE),
            helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, size]),
        ]
        graph = helper.make_graph(self.nodes, "net", ends[:1], ends[1:], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        onnx.save(model, path)


def cnn(path: Path) -> None:
    """Convolutions with ReLU and ReLU6, max pooling, a residual, an unequal concatenation, softmax."""
    b = Builder(0)
    x = b.node("Relu", b.conv("x", 3, 8))
    x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    d = b.node("Clip", b.conv(x, 8, 8, group=8), b.constant(np.float32(0)), b.constant(np.float32(6)))
    p, c = b.conv(d, 8, 16, kernel=1), b.conv(x, 8, 16)
    r = b.node("Relu", b.node("Add", p, c))
    joined = b.node("Concat", b.node("Add", b.conv(r, 16, 16), r), c, axis=1)
    flat = b.node("Flatten", b.node("GlobalAveragePool", joined))
    b.save(b.node("Softmax", b.dense(flat, 32, 10), axis=-1), 10, path)


def mobile(path: Path) -> None:
    """An inverted bottleneck with hard swish, squeeze and excite, average pooling and a mean."""
    b = Builder(1)
    x = b.node("HardSwish", b.conv("x", 3, 8, stride=2))
    e = b.node("Relu", b.conv(x, 8, 32, kernel=1))
    d = b.node("Relu", b.conv(e, 32, 32, group=32))
    s = b.node("Relu", b.conv(b.node("GlobalAveragePool", d), 32, 8, kernel=1))
    g = b.node("Mul", d, b.node("Sigmoid", b.conv(s, 8, 32, kernel=1)))
    a = b.node("Add", b.conv(g, 32, 8, kernel=1), x)
    a = b.node("AveragePool", a, kernel_shape=[2, 2], strides=[2, 2])
    a = b.node("LeakyRelu", b.conv(a, 8, 16), alpha=0.1)
    b.save(b.dense(b.node("ReduceMean", a, axes=[2, 3], keepdims=0), 16, 4), 4, path)


MODELS = {"cnn": cnn, "mobile": mobile}


def samples(count: int = 16) -> np.ndarray[Any, Any]:
    """Gives inputs like smooth images, (count, *SHAPE)."""
    random = np.random.default_rng(7)
    coarse = random.normal(0, 1, (count, 1, 3, 6, 6))
    smooth = coarse.repeat(4, axis=3).repeat(4, axis=4)
    return np.asarray(smooth + random.normal(0, 0.2, (count, *SHAPE)), np.float32)


def prepare(folder: Path) -> dict[str, Path]:
    """Writes the float models and the samples; gives name → path."""
    paths = {name: folder / f"float_{name}.onnx" for name in MODELS}
    for name, write in MODELS.items():
        write(paths[name])
    return paths

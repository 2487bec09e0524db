"""Builds small graphs op by op and runs them in LiteRT."""

from __future__ import annotations

import numpy as np

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session

TABLES = {
    "ADD": "AddOptions", "MUL": "MulOptions", "SUB": "SubOptions", "DIV": "DivOptions", "NEG": "NegOptions",
    "CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions", "MEAN": "ReducerOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions", "CONCATENATION": "ConcatenationOptions",
    "RESHAPE": "ReshapeOptions", "PAD": "PadOptions", "SLICE": "SliceOptions", "SQUEEZE": "SqueezeOptions",
    "EXPAND_DIMS": "ExpandDimsOptions", "SOFTMAX": "SoftmaxOptions", "STRIDED_SLICE": "StridedSliceOptions",
    "SUM": "ReducerOptions", "REDUCE_MAX": "ReducerOptions",
}  # fmt: skip


class Builder:
    """A graph with one input ``x`` of float32."""

    def __init__(self, *shape):
        self.graph = Graph()
        self.x = Tensor("x", shape)
        self.graph.inputs = [self.x]
        self.random = np.random.default_rng(1)

    def op(self, kind, *inputs, shape, **options):
        tensors = [i if isinstance(i, Tensor) or i is None else self.constant(i) for i in inputs]
        result = Tensor(f"{kind.lower()}{len(self.graph.ops)}", shape)
        self.graph.append(Op(kind, tensors, [result], options, TABLES.get(kind)))
        return result

    def constant(self, value):
        data = np.asarray(value)
        data = data.astype(np.int32 if data.dtype.kind == "i" else np.float32)
        return Tensor(f"constant{len(self.graph.ops)}", data.shape, data.dtype.name, data)

    def reshape(self, x, *shape):
        return self.op("RESHAPE", x, list(shape), shape=shape, newShape=list(shape))

    def conv(self, x, outputs, window, stride=1, padding=1, act=0):
        """A 1-D convolution in four dimensions, (images, length, 1, channels)."""
        weights = self.random.normal(0, 1, (outputs, window, 1, x.shape[3]))
        length = (x.shape[1] - window) // stride + 1 if padding else -(-x.shape[1] // stride)
        return self.op("CONV_2D", x, weights, np.zeros(outputs), shape=(x.shape[0], length, 1, outputs),
                       padding=padding, strideH=stride, strideW=1, dilationHFactor=1, dilationWFactor=1,
                       fusedActivationFunction=act)  # fmt: skip

    def conv_1d(self, x, outputs, window, **options):
        """RESHAPE, CONV_2D, RESHAPE and the bias, as litert-converter writes a 1-D convolution."""
        y = self.conv(self.reshape(x, x.shape[0], x.shape[1], 1, x.shape[2]), outputs, window, **options)
        y = self.reshape(y, y.shape[0], y.shape[1], outputs)
        bias = self.random.normal(0, 1, (1, 1, outputs))
        return self.op("ADD", y, bias, shape=y.shape, fusedActivationFunction=1)

    def model(self, *outputs):
        self.graph.outputs = list(outputs)
        named = {f"y{i}": t for i, t in enumerate(outputs)}
        return Model([self.graph], [Signature("serving_default", {"x": self.x}, named)])


def kinds(model):
    return [op.kind for op in model.main.ops]


def run(model, x):
    with Session(serialize(model)) as session:
        return list(session.run({"x": x}).values())


def assert_same(before, after):
    """LiteRT computes the same for both, to float32 precision."""
    after.validate()
    x = np.random.default_rng(0).normal(0, 2, before.main.inputs[0].shape).astype(np.float32)
    for old, new in zip(run(before, x), run(after, x), strict=True):
        assert old.shape == new.shape
        np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-4)


def assert_fires(fusion, model, expected=None):
    before = copy_model(model)
    assert fusion(model)
    if expected is not None:
        assert kinds(model) == expected
    assert_same(before, model)


def assert_refuses(fusion, model):
    before = kinds(model)
    assert fusion(model) == []
    assert kinds(model) == before

"""Tiny real models: ``softmax(weights @ x)`` in float, and the same in int8."""

from __future__ import annotations

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Quantization, Tensor
from tightfit.graph.writer import serialize


def linear_model(weights, activation=None, bias=None):
    """The bytes of a float model: x (1, n) to ``weights @ x + bias`` (1, m), then SOFTMAX or LOGISTIC."""
    weights = np.asarray(weights, np.float32)
    classes, width = weights.shape
    graph = Graph()
    x, y = Tensor("x", (1, width)), Tensor("logits", (1, classes))
    w = Tensor("w", weights.shape, data=weights)
    b = None if bias is None else Tensor("b", (classes,), data=np.asarray(bias, np.float32))
    graph.inputs, graph.outputs = [x], [y]
    graph.append(Op("FULLY_CONNECTED", [x, w, b], [y], {}, "FullyConnectedOptions"))
    if activation == "SOFTMAX":
        graph.outputs = [Tensor("scores", (1, classes))]
        graph.append(Op("SOFTMAX", [y], graph.outputs, {"beta": 1.0}, "SoftmaxOptions"))
    if activation == "LOGISTIC":
        graph.outputs = [Tensor("scores", (1, classes))]
        graph.append(Op("LOGISTIC", [y], graph.outputs))
    return serialize(Model([graph]))


def int8_linear_model(weights, input_scale, output_scale):
    """The bytes of the same with int8 input ``q_in``, weights and output ``q_out``, without activation."""
    weights = np.asarray(weights, np.float32)
    classes, width = weights.shape
    scale = float(np.abs(weights).max()) / 127
    x = _quantized("q_in", (1, width), input_scale)
    y = _quantized("q_out", (1, classes), output_scale)
    w = _quantized("w", weights.shape, scale)
    w.data = np.rint(weights / scale).astype(np.int8)
    b = Tensor("b", (classes,), "int32", np.zeros(classes, np.int32), _quantization(scale * input_scale))
    graph = Graph()
    graph.inputs, graph.outputs = [x], [y]
    graph.append(Op("FULLY_CONNECTED", [x, w, b], [y], {}, "FullyConnectedOptions"))
    return serialize(Model([graph]))


def two_output_model(first, second):
    """The bytes of a float model with the outputs ``first @ x`` and ``second @ x``."""
    graph = Graph()
    x = Tensor("x", (1, np.shape(first)[1]))
    graph.inputs = [x]
    for name, weights in (("first", first), ("second", second)):
        data = np.asarray(weights, np.float32)
        y = Tensor(name, (1, len(data)))
        w = Tensor(f"w_{name}", data.shape, data=data)
        graph.append(Op("FULLY_CONNECTED", [x, w, None], [y], {}, "FullyConnectedOptions"))
        graph.outputs.append(y)
    return serialize(Model([graph]))


def _quantized(name, shape, scale):
    return Tensor(name, shape, "int8", quantization=_quantization(scale))


def _quantization(scale):
    return Quantization(np.float32([scale]), np.int64([0]))

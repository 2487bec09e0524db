"""Small models that tests of every package share, built through the graph classes; weights are seeded.

``Builder`` adds layers one after the other; the functions below give whole models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor

SAME, VALID = 0, 1
NONE, RELU, RELU6 = 0, 1, 3


class Builder:
    """Appends layers to one graph; each method gives the tensor that the layer writes."""

    def __init__(self, name: str = "main", seed: int = 0) -> None:
        self.graph = Graph(name)
        self.random = np.random.default_rng(seed)

    def input(
        self, name: str, shape: Sequence[int], dtype: str = "float32", *, dynamic_batch: bool = False
    ) -> Tensor:
        signature = [-1, *shape[1:]] if dynamic_batch else None
        tensor = Tensor(name, shape, dtype, shape_signature=signature)
        self.graph.inputs.append(tensor)
        return tensor

    def constant(self, name: str, values: Any, dtype: str | None = None) -> Tensor:
        array = np.asarray(values, dtype)
        return Tensor(name, array.shape, array.dtype.name, array)

    def weights(self, name: str, *shape: int) -> Tensor:
        """Normal weights that keep the size of what they are multiplied with."""
        fan = np.prod(shape[1:]) if len(shape) > 1 else 100
        return self.constant(name, self.random.standard_normal(shape) / np.sqrt(fan), "float32")

    def op(
        self, kind: str, inputs: Sequence[Tensor | None], shape: Sequence[int], *, name: str | None = None,
        dtype: str = "float32", table: str | None = None, options: Mapping[str, Any] | None = None,
    ) -> Tensor:  # fmt: skip
        first = inputs[0] if inputs else None
        dynamic = first is not None and first.shape_signature is not None and len(shape) > 0
        signature = [-1, *shape[1:]] if dynamic else None
        label = name or f"{kind.lower()}_{len(self.graph.ops)}"
        output = Tensor(label, shape, dtype, shape_signature=signature)
        self.graph.append(Op(kind, inputs, [output], dict(options or {}), table))
        return output

    def conv(
        self, x: Tensor, channels: int, kernel: int = 3, stride: int = 1, activation: int = RELU
    ) -> Tensor:
        n, h, w, c = x.shape
        name = f"conv_{len(self.graph.ops)}"
        filters = self.weights(f"{name}/filter", channels, kernel, kernel, c)
        return self.op(
            "CONV_2D", [x, filters, self.weights(f"{name}/bias", channels)],
            [n, -(-h // stride), -(-w // stride), channels], name=name, table="Conv2DOptions",
            options={"padding": SAME, "strideW": stride, "strideH": stride, "dilationWFactor": 1,
                     "dilationHFactor": 1, "fusedActivationFunction": activation},
        )  # fmt: skip

    def depthwise(self, x: Tensor, kernel: int = 3, stride: int = 1, activation: int = RELU6) -> Tensor:
        n, h, w, c = x.shape
        name = f"depthwise_{len(self.graph.ops)}"
        filters = self.weights(f"{name}/filter", 1, kernel, kernel, c)
        return self.op(
            "DEPTHWISE_CONV_2D", [x, filters, self.weights(f"{name}/bias", c)],
            [n, -(-h // stride), -(-w // stride), c], name=name, table="DepthwiseConv2DOptions",
            options={"padding": SAME, "strideW": stride, "strideH": stride, "depthMultiplier": 1,
                     "dilationWFactor": 1, "dilationHFactor": 1, "fusedActivationFunction": activation},
        )  # fmt: skip

    def add(self, a: Tensor, b: Tensor, activation: int = NONE) -> Tensor:
        options = {"fusedActivationFunction": activation}
        return self.op(
            "ADD", [a, b], np.broadcast_shapes(a.shape, b.shape), table="AddOptions", options=options
        )

    def mean(self, x: Tensor) -> Tensor:
        """Global average pooling of an image."""
        axes = self.constant("spatial axes", [1, 2], "int32")
        return self.op(
            "MEAN", [x, axes], [x.shape[0], x.shape[3]], table="ReducerOptions", options={"keepDims": False}
        )

    def dense(self, x: Tensor, units: int, activation: int = NONE) -> Tensor:
        name = f"dense_{len(self.graph.ops)}"
        weights = self.weights(f"{name}/weights", units, x.shape[-1])
        return self.op(
            "FULLY_CONNECTED", [x, weights, self.weights(f"{name}/bias", units)], [*x.shape[:-1], units],
            name=name, table="FullyConnectedOptions", options={"fusedActivationFunction": activation},
        )  # fmt: skip

    def softmax(self, x: Tensor, name: str = "probabilities") -> Tensor:
        return self.op("SOFTMAX", [x], x.shape, name=name, table="SoftmaxOptions", options={"beta": 1.0})

    def model(self, *outputs: Tensor, signature: str | None = "serving_default") -> Model:
        """The finished model; the signature, if any, names inputs and outputs by their tensors' names."""
        self.graph.outputs = list(outputs)
        model = Model([self.graph], description="built by a test")
        if signature is not None:
            model.signatures.append(signature_of(self.graph, signature))
        model.validate()
        return model


def signature_of(graph: Graph, key: str, index: int = 0) -> Signature:
    """A signature that names a graph's inputs and outputs by their tensors' names."""
    return Signature(key, {t.name: t for t in graph.inputs}, {t.name: t for t in graph.outputs}, index)


def conv_net(*, dynamic_batch: bool = False) -> Model:
    """Image 16×16×3 → two convolutions → pooling → dense → softmax over 5 classes."""
    b = Builder()
    x = b.input("image", [1, 16, 16, 3], dynamic_batch=dynamic_batch)
    y = b.conv(b.conv(x, 8, stride=2), 16)
    return b.model(b.softmax(b.dense(b.mean(y), 5)))


def residual_net() -> Model:
    """A MobileNetV2-like block: expand, depthwise, project, add; then a head."""
    b = Builder()
    x = b.conv(b.input("image", [1, 16, 16, 3]), 8, stride=2, activation=RELU6)
    y = b.conv(b.depthwise(b.conv(x, 24, kernel=1, activation=RELU6)), 8, kernel=1, activation=NONE)
    return b.model(b.softmax(b.dense(b.mean(b.add(x, y)), 4)))


def two_inputs_net() -> Model:
    """Two inputs, two outputs: a sum and a product of dense layers, and the product's softmax."""
    b = Builder()
    left, right = b.input("left", [1, 6]), b.input("right", [1, 4])
    a, c = b.dense(left, 8, RELU), b.dense(right, 8, RELU)
    product = b.op("MUL", [a, c], [1, 8], table="MulOptions", options={"fusedActivationFunction": NONE})
    return b.model(b.add(a, c), b.softmax(product))


def two_signatures_model() -> Model:
    """Two graphs with a signature each; they share the memory of one weight."""
    encode, decode = Builder("encode"), Builder("decode", seed=1)
    encode.graph.outputs = [encode.dense(encode.input("x", [1, 4]), 3)]
    decode.graph.outputs = [decode.dense(decode.input("code", [1, 4]), 3)]
    decode.graph.find("dense_0/weights").data = encode.graph.find("dense_0/weights").data
    graphs = [encode.graph, decode.graph]
    return Model(graphs, [signature_of(g, g.name, i) for i, g in enumerate(graphs)])


def loop_model() -> Model:
    """Three graphs: ``x`` is doubled while its counter is below 3, through WHILE."""
    main, condition, body = Builder("main"), Builder("condition"), Builder("body")
    for b in (main, condition, body):
        b.input("i", [], "int32")
        b.input("x", [1, 4])
    i, x = condition.graph.inputs
    below = condition.op("LESS", [i, condition.constant("limit", 3, "int32")], [], dtype="bool")
    condition.graph.outputs = [below]
    i, x = body.graph.inputs
    plain = {"table": "AddOptions", "options": {"fusedActivationFunction": NONE}}
    following = body.op("ADD", [i, body.constant("one", 1, "int32")], [], dtype="int32", **plain)
    body.graph.outputs = [following, body.op("ADD", [x, x], [1, 4], **plain)]
    outputs = [Tensor("i_out", [], "int32"), Tensor("x_out", [1, 4])]
    options = {"condSubgraphIndex": 1, "bodySubgraphIndex": 2}
    main.graph.append(Op("WHILE", main.graph.inputs, outputs, options, "WhileOptions"))
    main.graph.outputs = outputs
    return Model([main.graph, condition.graph, body.graph], [signature_of(main.graph, "serving_default")])


def random_inputs(model: Model, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Normal values for each float input of the first signature, or of the main graph; zeros for integers."""
    random = np.random.default_rng(seed)
    named = model.signatures[0].inputs if model.signatures else {t.name: t for t in model.main.inputs}
    return {
        name: random.standard_normal(t.shape).astype(np.float32)
        if t.dtype == "float32"
        else np.zeros(t.shape, t.dtype)
        for name, t in named.items()
    }


def on_four_bits(model: Model) -> Model:
    """Moves the weights of dense layers to whole multiples of a step that four bits hold."""
    for op in model.main.ops:
        weights = op.inputs[1]
        assert weights is not None
        assert weights.data is not None
        steps = np.abs(weights.data).max(axis=1, keepdims=True) / 7
        weights.data = (np.round(weights.data / steps) * steps).astype(np.float32)
    return model

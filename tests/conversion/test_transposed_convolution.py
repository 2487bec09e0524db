"""Transposed convolutions of every kind convert exactly, from Keras and from ONNX."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tightfit.conversion.load_model import load

keras = pytest.importorskip("keras", reason="needs keras: the extra 'keras'")
onnx = pytest.importorskip("onnx", reason="needs onnx: the extra 'onnx'")
pytest.importorskip("litert_converter", reason="needs litert-converter: the extra 'keras'")
layers = keras.layers


def kinds(converted):
    return [op.kind for op in converted.model.main.ops]


def keras_layer(rank, channels, *arguments, **options):
    return getattr(layers, f"Conv{rank}DTranspose")(channels, *arguments, bias_initializer="ones", **options)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_many_layers_of_keras_convert_exactly_in_one_network(padding):
    x = keras.Input((6, 5, 2))
    sizes = itertools.product((1, 2, 3, 4, 5), (2, 3))
    found = [keras_layer(2, 3, k, strides=s, padding=padding, activation="relu")(x) for k, s in sizes]
    converted = load(keras.Model(x, found))
    assert all(row.largest <= 1e-5 * row.scale for row in converted.differences)


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_same_padding_of_keras_is_one_op(kernel):
    x = keras.Input((6, 5, 2))
    layer = keras_layer(2, 3, kernel, strides=2, padding="same", activation="relu")
    assert kinds(load(keras.Model(x, layer(x)))) == ["TRANSPOSE_CONV"]


def test_one_and_three_dimensions_convert_exactly():
    x, z = keras.Input((9, 2)), keras.Input((3, 4, 2, 2))
    outputs = [keras_layer(r, 3, 3, strides=2, padding="same")(t) for r, t in ((1, x), (3, z))]
    converted = load(keras.Model([x, z], outputs))
    assert all(row.largest <= 1e-5 * row.scale for row in converted.differences)
    assert not any(kind.startswith("STABLEHLO") for kind in kinds(converted))


ATTRIBUTES = [
    {"pads": [1, 1, 1, 1], "strides": [2, 2]},
    {"pads": [1, 1, 1, 1], "strides": [2, 2], "output_padding": [1, 1]},
    {"pads": [0, 1, 1, 0], "strides": [2, 3]},
    {"strides": [3, 2]},
    {"strides": [2, 2], "dilations": [2, 1]},
    {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
    {"strides": [2, 2], "output_shape": [11, 9]},
    {"strides": [2, 2], "group": 2, "pads": [1, 1, 1, 1]},
    {"strides": [1, 1], "pads": [1, 0, 1, 2]},
]


def onnx_model():
    """One input and a transposed convolution of each kind on it."""
    random = np.random.default_rng(0)
    nodes, weights, outputs = [], [], []
    for i, attributes in enumerate(ATTRIBUTES):
        shape = (4, 3 // attributes.get("group", 1) or 1, 3, 3)
        values = random.normal(0, 1, shape).astype(np.float32)
        bias = random.normal(0, 1, shape[1] * attributes.get("group", 1)).astype(np.float32)
        weights += [onnx.numpy_helper.from_array(v, f"{n}{i}") for n, v in (("w", values), ("b", bias))]
        nodes.append(onnx.helper.make_node("ConvTranspose", ["x", f"w{i}", f"b{i}"], [f"y{i}"], **attributes))
        outputs.append(onnx.helper.make_tensor_value_info(f"y{i}", 1, None))
    x = onnx.helper.make_tensor_value_info("x", 1, [1, 4, 5, 4])
    graph = onnx.helper.make_graph(nodes, "g", [x], outputs, weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_every_kind_of_onnx_converts_exactly():
    pytest.importorskip("onnxruntime", reason="needs onnxruntime, which computes the source")
    converted = load(onnx_model())
    assert len(converted.differences) == len(ATTRIBUTES)
    assert all(row.largest <= 1e-5 * row.scale for row in converted.differences)

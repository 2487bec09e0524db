"""1-D Keras networks become 2-D ops alone, quantize to integers whole, and run on a microcontroller."""

from __future__ import annotations

import importlib.util
from collections import Counter

import numpy as np
import pytest

from tightfit.conversion.load_model import load
from tightfit.graph.reader import read_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.targets.tools.micro import run_micro

keras = pytest.importorskip("keras", reason="needs keras: the extra 'keras'")
pytest.importorskip("litert_converter", reason="needs litert-converter: the extra 'keras'")
layers = keras.layers

HAS_MICRO = importlib.util.find_spec("tflite_micro") is not None
BOUNDARY = {"QUANTIZE", "DEQUANTIZE"}


def randomized(model, seed=0):
    """The model with weights as after training: biases and statistics are not zero."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            rng.normal(0, 0.3, w.shape) ** 2 + 0.1 if w.ndim == 1 else rng.normal(0, 0.4, w.shape)
            for w in model.get_weights()
        ]
    )
    return model


def kinds(converted):
    return Counter(op.kind for graph in converted.model.graphs for op in graph.ops)


def network(seed):
    """A network of random 1-D layers, seeded."""
    rng = np.random.default_rng(seed)
    length, channels = int(rng.integers(40, 90)), int(rng.integers(1, 6))
    x = keras.Input((length, channels))
    y = x
    for _ in range(int(rng.integers(2, 5))):
        y = _block(y, rng)
    end = rng.choice(["average", "max", "flatten"])
    y = {
        "average": layers.GlobalAveragePooling1D,
        "max": layers.GlobalMaxPooling1D,
        "flatten": layers.Flatten,
    }[end]()(y)
    return randomized(keras.Model(x, layers.Dense(4)(y)), seed)


def _block(y, rng):
    kernel, width = int(rng.integers(1, 6)), int(rng.integers(2, 9))
    padding = str(rng.choice(["valid", "same", "causal"]))
    stride = int(rng.integers(1, 3))
    kind = rng.choice(["conv", "dilated", "separable", "depthwise", "residual"])
    if kind == "conv":
        y = layers.Conv1D(width, kernel, strides=stride, padding=padding, activation="relu")(y)
    elif kind == "dilated":
        y = layers.Conv1D(width, kernel, dilation_rate=2, padding="causal")(y)
    elif kind == "separable":
        y = layers.SeparableConv1D(width, kernel, padding="same", activation="relu")(y)
    elif kind == "depthwise":
        y = layers.DepthwiseConv1D(kernel, padding="same", depth_multiplier=2)(y)
    else:
        y = layers.add([y, layers.Conv1D(y.shape[-1], kernel, padding="same")(y)])
    if rng.random() < 0.5:
        y = layers.ReLU()(layers.BatchNormalization()(y))
    pool = rng.choice(["max", "average", "none"])
    if pool != "none":
        make = layers.MaxPooling1D if pool == "max" else layers.AveragePooling1D
        y = make(
            int(rng.integers(2, 4)), int(rng.integers(1, 3)), padding=str(rng.choice(["valid", "same"]))
        )(y)
    return y


@pytest.mark.parametrize("seed", range(6))
def test_a_random_network_is_integer_whole_and_runs_on_a_microcontroller(seed, tmp_path):
    converted = load(network(seed), tmp_path / "float.tflite")
    found = kinds(converted)
    assert not [kind for kind in found if kind.startswith("STABLEHLO")]
    assert found["RESHAPE"] <= 3
    (row,) = converted.differences
    assert row.largest <= 1e-5 * max(1.0, row.scale)
    (tensor,) = converted.model.main.inputs
    samples = [
        {tensor.name: x[None]}
        for x in np.random.default_rng(0).normal(0, 1, (16, *tensor.shape[1:])).astype("f4")
    ]
    # A remedy may compute a poor slice of these random networks in float; the plain form has none.
    written = quantize_file(converted.path, "int8", tmp_path / "int8.tflite", samples, mend=False)
    model = read_model(written.path)
    floats = [
        op
        for op in model.main.ops
        if op.kind not in BOUNDARY and any(t.dtype == "float32" for t in op.outputs)
    ]
    assert floats == []
    assert written.snr_db > 15
    if HAS_MICRO:
        assert run_micro(model).runs


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kind", ["MaxPooling1D", "AveragePooling1D", "MaxPooling3D", "AveragePooling3D"])
def test_pooling_of_one_and_three_dimensions_is_pooling_of_two(kind, padding):
    x = keras.Input((9, 3) if kind.endswith("1D") else (7, 6, 5, 2))
    converted = load(keras.Model(x, getattr(layers, kind)(3, 2, padding=padding)(x)))
    pools = 1 if kind.endswith("1D") else 2
    wanted = "MAX_POOL_2D" if kind.startswith("Max") else "AVERAGE_POOL_2D"
    assert kinds(converted)[wanted] == pools
    assert set(kinds(converted)) == {wanted, "RESHAPE"}
    assert converted.largest_difference < 1e-6


def test_bias_and_activation_are_in_the_layer():
    x = keras.Input((32, 6))
    y = layers.Conv1D(4, 3)(
        layers.MaxPooling1D(2)(layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(8, 3)(x))))
    )
    converted = load(randomized(keras.Model(x, y)))
    assert [op.kind for op in converted.model.main.ops] == [
        "RESHAPE",
        "CONV_2D",
        "MAX_POOL_2D",
        "CONV_2D",
        "RESHAPE",
    ]


@pytest.mark.parametrize("shape", [(8,), (8, 4), (6, 6, 3)])
def test_a_parametric_relu_is_one_op(shape):
    x = keras.Input(shape)
    converted = load(randomized(keras.Model(x, layers.PReLU()(layers.Dense(3)(x)))))
    assert kinds(converted) == {"FULLY_CONNECTED": 1, "PRELU": 1}


@pytest.mark.parametrize("size", [2, (2, 3)])
def test_nearest_upsampling_is_a_resize(size):
    x = keras.Input((4, 5, 3))
    assert kinds(load(keras.Model(x, layers.UpSampling2D(size)(x)))) == {"RESIZE_NEAREST_NEIGHBOR": 1}

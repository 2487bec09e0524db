"""A free batch costs no op: the file is that of one sample with −1 in front, and right for any number."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.load_model import load
from tightfit.runtime.session import Session

keras = pytest.importorskip("keras", reason="needs keras: the extra 'keras'")
pytest.importorskip("litert_converter", reason="needs litert-converter: the extra 'keras'")
layers = keras.layers


def image():
    x = keras.Input((8, 8, 3))
    y = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, activation="relu")(x))
    return x, layers.Dense(5)(layers.Flatten()(y))


def signal():
    x = keras.Input((24, 2))
    y = layers.AveragePooling1D(2, padding="same")(layers.Conv1D(4, 3, activation="relu")(x))
    return x, layers.Dense(3)(layers.LayerNormalization()(y))


def words():
    x = keras.Input((6,), dtype="int32")
    y = layers.Conv1D(4, 3, padding="causal")(layers.Embedding(50, 8)(x))
    return x, layers.Dense(3)(layers.GlobalAveragePooling1D()(y))


def upsampled():
    """Its transposed convolution names the batch, so that JAX has to trace it."""
    x = keras.Input((4, 4, 2))
    return x, layers.Conv2DTranspose(3, 3, strides=2, padding="same")(x)


def kinds(converted):
    return [op.kind for op in converted.model.main.ops]


@pytest.mark.parametrize("network", [image, signal, words])
def test_the_ops_are_those_of_one_sample_and_the_answers_those_of_keras(network):
    model = keras.Model(*network())
    free = load(model, options=ConversionOptions(batch=None))
    assert kinds(free) == kinds(load(model))
    (tensor,) = free.model.main.inputs
    assert tensor.shape_signature == (-1, *tensor.shape[1:])
    assert free.model.main.outputs[0].shape_signature[0] == -1
    x = np.random.default_rng(0).integers(0, 50, (5, *tensor.shape[1:])).astype(tensor.dtype)
    with Session(free.path) as session:
        (found,) = session.run({tensor.name: x}).values()
    np.testing.assert_allclose(found, np.asarray(model(x)), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_freed_is_traced():
    free = load(keras.Model(*upsampled()), options=ConversionOptions(batch=None))
    assert free.model.main.inputs[0].shape_signature[0] == -1
    assert free.largest_difference < 1e-5

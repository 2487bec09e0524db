"""Keras models after model.quantize: int8 layers are converted as their reals, others are named."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.conversion.load_model import load
from tightfit.errors import ModelError
from tightfit.runtime.session import Session

keras = pytest.importorskip("keras", reason="needs the extra 'keras'")
LAYERS = keras.layers


def net():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([LAYERS.Input((16,)), LAYERS.Dense(32, "relu"), LAYERS.Dense(4)])
    model.compile()
    return model


def test_int8_dense_layers_are_converted_with_the_grid_of_their_weights(tmp_path):
    model = net()
    x = np.random.default_rng(0).normal(size=(1, 16)).astype(np.float32)
    before = np.asarray(model(x))
    model.quantize("int8")
    result = load(model, tmp_path / "k.tflite")
    assert any("Quantized by Keras (int8)" in note for note in result.notes)
    with Session(result.path) as session:
        got = next(iter(session.run({session.inputs[0].name: x}).values()))
    assert np.abs(got - before).max() < 0.02 * np.abs(before).max()


def test_another_mode_is_named_with_the_way_out(tmp_path):
    model = net()
    model.quantize("int4")
    with pytest.raises(ModelError, match=r"Dense '.*' was quantized by model.quantize\('int4'\)"):
        load(model, tmp_path / "k.tflite")

"""Layers that a user froze in Keras keep their weights."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from keras import layers  # noqa: E402 - after the check for Keras

import tightfit  # noqa: E402
from tightfit.api.parameters.frozen import frozen_in  # noqa: E402
from tightfit.graph.passes.clean import clean  # noqa: E402
from tightfit.graph.reader import read_model  # noqa: E402
from tightfit.pipeline.source import open_source  # noqa: E402
from tightfit.training.frozen_layers import frozen_constants  # noqa: E402


@pytest.fixture(scope="module")
def model():
    """A frozen trunk of a convolution with batch norm and a normalization, and a head that trains."""
    keras.utils.set_random_seed(1)
    start = keras.Input((6, 6, 3))
    h = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False, name="seen")(start)))
    h = layers.LayerNormalization(name="norm", gamma_initializer="random_normal")(h)
    trunk = keras.Model(start, h, name="trunk")
    for layer in trunk.layers:
        if isinstance(layer, layers.BatchNormalization):
            values = np.random.default_rng(0).uniform(0.5, 2, (4, 8))
            layer.set_weights([*values])
    trunk.trainable = False
    head = layers.Dense(4, name="head", bias_initializer="random_normal")
    return keras.Model(start, head(layers.GlobalAveragePooling2D()(trunk.output)))


def test_only_the_head_trains(model, tmp_path):
    tightfit.convert(model, tmp_path / "m.tflite")
    graph = read_model(tmp_path / "m.tflite")
    clean(graph)
    keys, notes = frozen_constants(model, graph.main)
    matrices = {k for t, k in graph.main.keys().items() if t.is_constant and len(t.shape) > 1 and t.size > 8}
    assert len(matrices - keys) == 1
    assert len([k for t, k in graph.main.keys().items() if k in keys and t.size == 8]) >= 2
    assert len(notes) == 1
    assert "seen" in notes[0]
    assert "head" not in notes[0]


def test_frozen_weights_stay_in_a_training(model, tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 6, 6, 3)).astype(np.float32)
    y = 3 * (np.arange(60) % 10 > 0)  # mostly one class, which a head learns in an epoch
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss)
    made = tightfit.finetune(model, (x, y), tmp_path / "q.tflite", scheme="int8", epochs=1, batch=8)
    assert any(note.startswith("Layers with trainable=False are not trained: seen") for note in made.notes)
    assert made.kept == "trained"
    before = read_model(tightfit.convert(model).path)
    clean(before)
    twins = {k: t.values for t, k in made.keras_model.source.main.keys().items() if t.is_constant}
    for tensor, key in before.main.keys().items():
        if tensor.is_constant and tensor.size > 8:
            moved = np.abs(tensor.values - twins[key]).max() / np.abs(tensor.values).max()
            assert (moved < 0.01) == ("head" not in key)  # rounded to int8, all of them


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_the_frozen_layers_of_a_file_stay_too(model, tmp_path, ending):
    path = tmp_path / f"m.{ending}"
    model.save(path)
    source = open_source(tightfit.convert(model, tmp_path / "m.tflite").path)
    assert frozen_in(path, source.model) == frozen_in(model, source.model)
    assert frozen_in(path, source.model)[0]


def test_a_file_that_is_not_loaded_without_its_code_says_so(tmp_path):
    start = keras.Input((4,))
    h = layers.Lambda(lambda x: x + 1.0)(layers.Dense(4, trainable=False)(start))
    keras.Model(start, h).save(tmp_path / "code.keras")
    keys, notes = frozen_in(tmp_path / "code.keras", None)
    assert not keys
    assert "1 layers of 'code.keras' have trainable=False and are trained" in notes[0]

"""State that a Keras model carries from call to call is in the file and goes on from call to call."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.api.quantize import quantize
from tightfit.conversion.load_model import load
from tightfit.runtime.session import Session

keras = pytest.importorskip("keras", reason="needs keras: the extra 'keras'")
pytest.importorskip("litert_converter", reason="needs litert-converter: the extra 'keras'")
layers = keras.layers


class Window(layers.Layer):
    """A buffer of the last frames, as streaming networks keep it."""

    def build(self, shape):
        self.frames = self.add_weight((1, 4, shape[-1]), initializer="zeros", trainable=False, name="frames")

    def call(self, x):
        after = keras.ops.concatenate([self.frames[:, 1:], x], axis=1)
        self.frames.assign(after)
        return after


def stream():
    x = keras.Input((1, 3), batch_size=1, name="x")
    y = layers.Flatten()(Window(name="window")(x))
    return keras.Model(x, layers.Dense(2, name="y")(y))


def recurrent():
    x = keras.Input((2, 3), batch_size=1, name="x")
    return keras.Model(x, layers.Dense(2, name="y")(layers.GRU(4, stateful=True, name="memory")(x)))


@pytest.mark.parametrize("make", [stream, recurrent])
def test_the_file_answers_as_the_model_does_call_after_call(make):
    model = make()
    result = load(model)
    assert any("Keeps its state between calls" in note for note in result.notes)
    random = np.random.default_rng(0)
    samples = [random.normal(0, 1, model.input_shape).astype(np.float32) for _ in range(5)]
    with Session(result.path) as session:
        answers = [session.run({"x": x})["y"] for x in samples]
    expected = [np.asarray(model(x)) for x in samples]
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    assert not np.allclose(answers[0], np.asarray(model(samples[0])), atol=1e-3)  # the state went on


def test_a_quantized_file_keeps_the_state(tmp_path):
    model = stream()
    random = np.random.default_rng(1)
    x = random.normal(0, 1, (40, 1, 3)).astype(np.float32)
    quantize(load(model), "int8", tmp_path / "q.tflite", data={"x": x})
    expected = [np.asarray(model(x[i : i + 1])) for i in range(8)]
    with Session(tmp_path / "q.tflite") as session:
        answers = [session.run({"x": x[i : i + 1]})["y"] for i in range(8)]
    noise = np.mean(np.square(np.subtract(answers, expected)))
    assert noise < np.mean(np.square(expected)) / 300

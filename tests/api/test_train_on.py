"""A compiled Keras model trains on with its own optimizer, loss, metrics and batches."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from keras import layers  # noqa: E402 - after the check for Keras

import tightfit  # noqa: E402 - after the check for Keras

CALLED: list[str] = []


def own_loss(y, outputs):
    CALLED.append("loss")
    return keras.ops.mean(keras.ops.square(keras.ops.one_hot(y, 3) - outputs), axis=-1)


@pytest.fixture(scope="module")
def compiled():
    keras.utils.set_random_seed(0)
    start = keras.Input((6, 6, 2))
    h = layers.Conv2D(8, 3, use_bias=False)(start)
    h = layers.ReLU()(layers.BatchNormalization()(h))
    h = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3)(h)))
    out = layers.Dense(3, activation="softmax")(layers.Dense(8)(layers.Flatten()(h)))
    model = keras.Model(start, out)
    model.compile(keras.optimizers.SGD(0.02, momentum=0.5), own_loss, metrics=["accuracy"])
    x = np.random.default_rng(0).normal(size=(160, 6, 6, 2)).astype(np.float32)
    y = (x.mean((1, 2)) @ np.ones((2, 3)) + x[:, 2, 2, :1] * [1, 0, -1]).argmax(1)
    model.fit(x, y, epochs=2, verbose=0)
    return model, x, y


class Doubled(keras.utils.PyDataset):
    """Batches with an augmentation that runs anew in each epoch."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.asked = x, y, 0

    def __len__(self):
        return len(self.x) // 16

    def __getitem__(self, i):
        self.asked += 1
        part = slice(16 * i, 16 * i + 16)
        return self.x[part] * np.float32(1 + 0.001 * self.asked), self.y[part]


def test_arrays_train_with_the_compiled_loss_and_a_keras_model_comes_back(compiled, tmp_path):
    model, x, y = compiled
    CALLED.clear()
    made = tightfit.finetune(model, (x, y), tmp_path / "m.tflite", scheme="int8", epochs=2, batch=16)
    assert CALLED
    assert {"accuracy", "val_accuracy"} <= set(made.history[0])
    kept = made.keras_model
    assert [type(a) for a in kept.layers] == [type(a) for a in model.layers]
    assert "keras_model" not in made.to_dict()
    with tightfit.load(tmp_path / "m.tflite").path.open("rb") as file:
        assert file.read(8)[4:] == b"TFL3"
    before, after = (keras.ops.convert_to_numpy(m(x[:8], training=False)) for m in (model, kept))
    moved = float(np.abs(before - after).max())
    assert (made.kept == "start") or 1e-5 < moved < 0.5


def test_batches_of_the_user_run_in_each_epoch(compiled, tmp_path):
    model, x, y = compiled
    batches, others = Doubled(x[:96], y[:96]), Doubled(x[96:], y[96:])
    made = tightfit.finetune(
        model,
        batches,
        tmp_path / "m.tflite",
        scheme="int8",
        epochs=3,
        validation=others,
        test=(x[96:], y[96:]),
    )
    assert batches.asked >= 3 * len(batches)
    assert len(made.history) == 3
    assert "val_loss" in made.history[-1]

"""What users of Keras do with any model works with a ``Network``."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import conv_net  # noqa: E402 - after the check for Keras
from support.quantized_models import planned, samples_of  # noqa: E402
from tightfit.training.export import export  # noqa: E402
from tightfit.training.network import Network  # noqa: E402

MODEL = conv_net()
SAMPLES = samples_of(MODEL, 16)
PLAN = planned(MODEL, "int8", SAMPLES)
X = np.concatenate([s.inputs["image"] for s in SAMPLES])
Y = np.arange(16) % 5
LOSS = "sparse_categorical_crossentropy"


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return X[4 * i : 4 * i + 4], Y[4 * i : 4 * i + 4]


def moved(network, before):
    return any(not np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))


def trained(data, optimizer="adam", callbacks=(), **options):
    network = Network(MODEL, PLAN, check=False)
    before = network.get_weights()
    network.compile(optimizer, LOSS, metrics=["accuracy"])
    history = network.fit(*data, verbose=0, callbacks=list(callbacks), **options).history
    assert np.isfinite(history["loss"]).all()
    assert "accuracy" in history
    assert moved(network, before)
    return network, history


def test_numbered_batches_train_with_callbacks(tmp_path):
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "best.weights.h5", save_weights_only=True),
        keras.callbacks.EarlyStopping("loss", patience=3),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 / (epoch + 1)),
    ]
    network, history = trained((Batches(),), callbacks=callbacks, epochs=2, validation_data=(X, Y))
    assert len(history["val_accuracy"]) == 2
    assert (tmp_path / "log.csv").read_text().count("\n") == 3
    fresh = Network(MODEL, PLAN, check=False)
    fresh.load_weights(tmp_path / "best.weights.h5")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(fresh(X)), keras.ops.convert_to_numpy(network(X)), atol=1e-5
    )


def test_averaged_weights_are_those_that_are_exported():
    optimizer = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5)
    network, _ = trained((X, Y), optimizer, batch_size=4)
    model, plan = export(network)
    assert plan is not None
    assert all(
        np.isfinite(t.data).all() for t in model.main.tensors() if t.is_constant and t.dtype == "float32"
    )
    for variable, average in zip(
        network.trainable_variables, optimizer._model_variables_moving_average, strict=True
    ):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(variable), keras.ops.convert_to_numpy(average), atol=1e-6
        )


def test_accumulated_gradients_train_every_other_step():
    optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=2)
    trained((X, Y), optimizer, batch_size=4)
    assert int(optimizer.iterations) == 2


class OwnStep(Network):
    """A step that a user wrote: the loss of the classes and a pull of the outputs towards even shares."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        own = keras.ops.mean(keras.ops.square(y_pred - 1.0 / y_pred.shape[-1]))
        return super().compute_loss(x, y, y_pred, sample_weight, training) + 0.1 * own

    def train_step(self, *args, **options):
        self.steps = getattr(self, "steps", 0) + 1
        return super().train_step(*args, **options)


def test_a_step_of_the_user_trains():
    network = OwnStep(MODEL, PLAN, check=False)
    before = network.get_weights()
    network.compile("adam", LOSS)
    network.fit(X, Y, batch_size=4, verbose=0)
    assert network.steps
    assert moved(network, before)


def test_a_loader_of_torch_trains():
    torch = pytest.importorskip("torch", reason="needs torch")
    rows = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    trained((torch.utils.data.DataLoader(rows, batch_size=4, shuffle=True),))


def test_a_dataset_of_tensorflow_trains():
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    trained((tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(16).batch(4),))


def test_tensorboard_gets_step_and_epoch_metrics(tmp_path):
    for module in ("tensorflow", "tensorboard"):
        pytest.importorskip(module, reason="Keras writes for TensorBoard by TensorFlow and tensorboard")
    trained((X, Y), callbacks=[keras.callbacks.TensorBoard(tmp_path, update_freq=1)], batch_size=4)
    assert list(tmp_path.rglob("events.out.tfevents.*"))

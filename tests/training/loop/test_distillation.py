"""A teacher instead of labels."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import conv_net  # noqa: E402 - after the check for Keras
from support.quantized_models import planned, samples_of  # noqa: E402
from tightfit.errors import OptionError  # noqa: E402
from tightfit.training.loop.callbacks import KeepLastGood, UpdateMasks  # noqa: E402
from tightfit.training.loop.distillation import Distillation  # noqa: E402
from tightfit.training.network import Network  # noqa: E402
from tightfit.training.transforms.sparsity_schedules import Polynomial  # noqa: E402
from tightfit.training.transforms.weight_transforms import Mask  # noqa: E402

MODEL = conv_net()
SAMPLES = samples_of(MODEL, 16)
X = np.concatenate([s.inputs["image"] for s in SAMPLES])


def student(plan=True, transforms=()):
    scheme = planned(MODEL, "int8", SAMPLES) if plan else None
    return Network(MODEL, scheme, transforms, check=False)


def test_without_labels_the_student_comes_nearer_to_the_teacher():
    network = student(plan=False)
    for variable in network.trainable_variables:
        variable.assign(variable * 1.2)
    pair = Distillation(network, Network(MODEL, check=False), ["conv_1"])
    pair.compile(keras.optimizers.Adam(3e-3))
    losses = pair.fit(X, batch_size=8, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_the_teacher_is_not_trained():
    teacher = Network(MODEL, check=False)
    before = teacher.get_weights()
    pair = Distillation(student(), teacher)
    pair.compile("adam")
    pair.fit(X, batch_size=8, verbose=0)
    for a, b in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_labels_that_should_count_must_be_there():
    pair = Distillation(student(), Network(MODEL, check=False), labels_share=0.5)
    pair.compile("adam", "sparse_categorical_crossentropy")
    pair.fit(X, np.arange(16) % 5, batch_size=8, verbose=0)
    with pytest.raises(OptionError, match="the data has none"):
        pair.compute_loss(X, None)


def test_an_unknown_feature_is_refused():
    with pytest.raises(OptionError, match="computes no tensor 'nowhere'"):
        Distillation(student(), Network(MODEL, check=False), ["nowhere"])


def test_masks_follow_their_schedule():
    network = student(transforms=[Mask(Polynomial(0.8, end=6))])
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(
        X, np.arange(16) % 5, batch_size=4, epochs=2, verbose=0, callbacks=[UpdateMasks(network, every=2)]
    )
    for _, mask in network.transforms[0].sites:
        assert (keras.ops.convert_to_numpy(mask) == 0).mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("batch", [4, 16])
def test_masks_follow_their_schedule_without_a_callback(batch):
    """Also where the schedule ends between two updates."""
    network = student(transforms=[Mask(Polynomial(0.8, end=3))])
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(X, np.arange(16) % 5, batch_size=batch, epochs=4, verbose=0)
    assert network.transforms[0].sites
    for _, mask in network.transforms[0].sites:
        assert (keras.ops.convert_to_numpy(mask) == 0).mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_the_check_is_made_in_float32(policy):
    network = Network(MODEL, dtype=policy)
    network.compile("adam", "sparse_categorical_crossentropy")
    history = network.fit(X, np.arange(16) % 5, batch_size=8, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_a_nan_loss_stops_and_the_last_good_weights_stay():
    network = student(plan=False)
    before = network.get_weights()
    network.compile("sgd", lambda _, given: keras.ops.mean(given) * float("nan"))
    guard = KeepLastGood()
    history = network.fit(X, np.arange(16) % 5, batch_size=4, epochs=4, verbose=0, callbacks=[guard])
    assert guard.failed == 0
    assert len(history.epoch) == 1
    for a, b in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

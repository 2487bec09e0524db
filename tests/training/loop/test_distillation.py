"""A teacher instead of labels."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import conv_net  # noqa: E402 - after the check for Keras
from support.quantized_models import planned, samples_of  # noqa: E402
from tightfit.errors import OptionError  # noqa: E402
from tightfit.training.loop.callbacks import KeepLastGood, UpdateMasks  # noqa: E402
from tightfit.training.loop.distillation import Distillation, weigh  # noqa: E402
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


def test_a_step_runs_the_student_once(monkeypatch):
    pair = Distillation(student(), Network(MODEL, check=False), ["conv_1"], labels_share=0.5)
    pair.compile("adam", "sparse_categorical_crossentropy")
    tensors, runs = Network.tensors, []

    def counted(self, *args, **options):
        runs.append(self is pair.student)
        return tensors(self, *args, **options)

    y = np.arange(8) % 5
    outputs = pair(X[:8], training=True)
    alone = pair.compute_loss(X[:8], y, outputs * 1.0)  # other outputs than those of the last pass
    np.testing.assert_allclose(pair.compute_loss(X[:8], y, pair(X[:8], training=True)), alone, rtol=1e-5)
    pair.train_on_batch(X[:8], y)
    monkeypatch.setattr(Network, "tensors", counted)
    pair.train_on_batch(X[:4], y[:4])  # traced anew, by some backends
    assert runs.count(True) == runs.count(False) > 0


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


def test_a_teacher_that_knows_the_labels_less_well_counts_less():
    shares = [float(weigh(1.0, [loss], 0.5)[0]) for loss in (0.5, 1.0, 1.5, 3.0)]
    assert shares == sorted(shares)
    assert shares[0] < 0.1 < shares[1] < shares[2]
    assert shares[1] == pytest.approx(0.5)
    assert shares[3] > 0.99
    _, weights = weigh(1.0, [0.5, 1.0, 4.0], 0.5)
    assert float(sum(weights)) == pytest.approx(1.0)
    assert float(weights[0]) > 0.9


def test_several_teachers_of_other_graphs_teach_features_by_shape():
    """The second teacher has other names; its feature is that of the same shape."""
    other = conv_net()
    for tensor in other.main.tensors():
        tensor.name = f"other/{tensor.name}"
    teachers = [Network(MODEL, check=False), Network(other, check=False)]
    feature = "conv_1"
    pair = Distillation(student(), teachers, [feature], labels_share=0.5, measured=True)
    assert [len(lesson.wanted[0]) for lesson in pair.lessons] == [2, 2]
    assert pair.lessons[1].wanted[1][1].shape == pair.lessons[0].wanted[1][1].shape
    pair.label_loss = lambda y, outputs, _w=None: (
        keras.ops.mean(
            keras.ops.square(next(iter(outputs.values())) if isinstance(outputs, dict) else outputs)
        )
        + 0.0 * keras.ops.mean(keras.ops.cast(y, "float32"))
    )
    pair.compile(keras.optimizers.Adam(1e-3))
    history = pair.fit(X, np.arange(16) % 5, batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_outputs_that_are_named_belong_together_and_a_wrong_name_is_refused():
    name = next(iter(student().output_tensors))
    pair = Distillation(student(), Network(MODEL, check=False), outputs={name: name})
    assert list(pair.lessons[0].outputs) == [name]
    with pytest.raises(OptionError, match="There is no output 'nowhere'"):
        Distillation(student(), Network(MODEL, check=False), outputs={name: "nowhere"})


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

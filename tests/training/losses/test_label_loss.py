"""What each labelled output is trained towards, and by which loss."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from tightfit.data.sample import Sample  # noqa: E402 - after the check for Keras
from tightfit.errors import DataError  # noqa: E402 - likewise
from tightfit.evaluation.labels.label_kinds import BOXES, CLASS, PLACES, RANK, SEVERAL, VALUES, Head  # noqa: E402
from tightfit.training.losses.label_loss import LabelLoss  # noqa: E402 - likewise
from tightfit.training.losses.label_targets import stack_targets  # noqa: E402 - likewise
from tightfit.training.losses.loss_words import LOSSES, LossWords  # noqa: E402 - likewise
from tightfit.training.losses.place_losses import BY_KIND, PLACE_LOSSES  # noqa: E402 - likewise
from tightfit.training.option_checks import SCHEDULE_NAMES  # noqa: E402 - likewise
from tightfit.training.transforms.sparsity_schedules import SCHEDULES  # noqa: E402 - likewise


def sample(label=None, **labels):
    return Sample({"x": np.zeros((1, 2), np.float32)}, label, labels=labels)


def loss_of(heads, shapes, samples, outputs, logits=True, weights=None, **words):
    loss = LabelLoss(heads, shapes, dict.fromkeys(shapes, logits), LossWords(**words))
    loss.look_at(samples)
    stacked = stack_targets([loss.targets(s) for s in samples])
    return float(keras.ops.convert_to_numpy(loss(stacked, outputs, weights)))


def test_classes_train_by_cross_entropy():
    scores = np.log(np.float32([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    head = Head("y", CLASS)
    wanted = -np.log([0.25, 0.8]).mean()
    samples = [sample(1), sample(np.array([0.0, 0, 1]))]
    assert loss_of([head], {"y": (1, 3)}, samples, scores) == pytest.approx(wanted, rel=1e-5)
    assert loss_of([head], {"y": (1, 3)}, samples, np.exp(scores), logits=False) == pytest.approx(
        wanted, rel=1e-5
    )


def test_places_that_do_not_count_do_not_train():
    head = Head("y", PLACES, options={"ignored": (255,)})
    scores = np.zeros((1, 2, 2, 4), np.float32)
    labels = [sample(np.array([[0, 1], [255, 3]]))]
    assert loss_of([head], {"y": (1, 2, 2, 4)}, labels, scores) == pytest.approx(np.log(4), rel=1e-5)
    scores[0, 1, 0] = 1e3  # of the place that does not count
    assert loss_of([head], {"y": (1, 2, 2, 4)}, labels, scores) == pytest.approx(np.log(4), rel=1e-5)


def test_a_single_unit_and_several_classes_train_by_binary_cross_entropy():
    chances = np.float32([[0.9], [0.2]])
    wanted = -np.log([0.9, 0.8]).mean()
    head = Head("y", CLASS, options={"inside": True})
    assert loss_of([head], {"y": (1, 1)}, [sample(1), sample(0)], chances) == pytest.approx(wanted, rel=1e-5)
    logits = Head("y", CLASS, options={"inside": False})
    raw = np.log(chances / (1 - chances))
    assert loss_of([logits], {"y": (1, 1)}, [sample(1), sample(0)], raw) == pytest.approx(wanted, rel=1e-5)
    several = Head("y", SEVERAL, options={"inside": True})
    given = [sample(np.array([1, 0]))]
    assert loss_of([several], {"y": (1, 2)}, given, chances.T) == pytest.approx(wanted, rel=1e-5)


def test_outputs_of_different_units_count_alike():
    heads = [Head("a", VALUES, "a"), Head("b", VALUES, "b")]
    samples = [sample(a=np.array([0.0]), b=np.array([0.0])), sample(a=np.array([2.0]), b=np.array([2000.0]))]
    outputs = {"a": np.float32([[1], [1]]), "b": np.float32([[1000], [1000]])}
    # of each output the error is the labels' variance
    assert loss_of(heads, {"a": (1, 1), "b": (1, 1)}, samples, outputs) == pytest.approx(1, rel=1e-5)


SCORES = np.float32([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
PAIR = [sample(1), sample(2)]
LOSSES_OF_PLACES = -np.log([0.25, 0.8])


def test_weights_of_samples_classes_and_outputs_multiply():
    head = Head("y", CLASS)
    shapes = {"y": (1, 3)}
    found = loss_of([head], shapes, PAIR, np.log(SCORES), weights=np.float32([3, 0]))
    assert found == pytest.approx(3 * LOSSES_OF_PLACES[0] / 2, rel=1e-5)
    found = loss_of([head], shapes, PAIR, np.log(SCORES), classes={2: 5.0})
    assert found == pytest.approx((LOSSES_OF_PLACES[0] + 5 * LOSSES_OF_PLACES[1]) / 2, rel=1e-5)
    rare = [sample(0)] * 3 + [sample(1)]
    even = loss_of([head], shapes, rare, np.zeros((4, 3), np.float32), classes="balanced")
    assert even == pytest.approx(np.log(3), rel=1e-5)  # 3 · 4/6 + 1 · 4/2 over 4 samples
    heads = [Head("a", CLASS, "a"), Head("b", CLASS, "b")]
    both = [sample(a=1, b=2)]
    outputs = {"a": np.log(SCORES[:1]), "b": np.log(SCORES[1:])}
    found = _two_outputs(heads, both, outputs)
    assert found == pytest.approx((LOSSES_OF_PLACES[0] + 3 * LOSSES_OF_PLACES[1]) / 4, rel=1e-5)


def _two_outputs(heads, samples, outputs):
    loss = LabelLoss(heads, {"a": (1, 3), "b": (1, 3)}, {"a": True, "b": True}, LossWords(weights={"b": 3.0}))
    return float(keras.ops.convert_to_numpy(loss(stack_targets([loss.targets(s) for s in samples]), outputs)))


def test_a_function_of_the_user_gets_labels_and_outputs_as_they_are():
    seen = []

    def own(labels, outputs):
        seen.append((labels.tolist(), outputs.shape))
        return keras.ops.abs(outputs[:, 0] - labels)

    weights = np.float32([1, 3])
    words = {"losses": {"": own}}
    found = loss_of([Head("y", BOXES)], {"y": (1, 3)}, PAIR, SCORES, weights=weights, **words)
    assert seen == [([1, 2], (2, 3))]
    assert found == pytest.approx((0.5 + 3 * 1.9) / 2)
    keras_loss = keras.losses.SparseCategoricalCrossentropy()
    found = loss_of([Head("y", CLASS)], {"y": (1, 3)}, PAIR, SCORES, losses={"": keras_loss})
    assert found == pytest.approx(LOSSES_OF_PLACES.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "kind", "label", "wanted"),
    [
        ("mae", VALUES, np.array([1.0, 0.0]), 0.5),
        ("huber", VALUES, np.array([3.5, 0.0]), (2.5 + 0.125) / 2),
        ("ordinal", RANK, 1, -np.log([0.5, 0.5]).mean()),
        ("focal", CLASS, 1, 0.25 * np.log(2)),
    ],
)
def test_a_named_loss_reads_labels_in_its_way(name, kind, label, wanted):
    head = Head("y", kind, options={"inside": True})
    loss = LabelLoss([head], {"y": (1, 2)}, {"y": False}, LossWords({"": name}))
    targets = stack_targets([loss.targets(sample(label))])
    found = keras.ops.convert_to_numpy(loss(targets, np.float32([[0.5, 0.5]])))
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_a_class_beyond_the_outputs_is_refused_when_it_is_read():
    loss = LabelLoss([Head("y", PLACES)], {"y": (1, 2, 3)}, {"y": True})
    with pytest.raises(DataError, match="has the class 3; output 'y' has 3 classes, 0 to 2"):
        loss.targets(sample(np.array([0, 3])))


def test_every_loss_has_a_function_and_a_meaning():
    assert set(PLACE_LOSSES) == set(LOSSES) - {"auto", "none"}
    assert set(BY_KIND.values()) <= set(PLACE_LOSSES)


def test_boxes_measure_and_do_not_train():
    assert not LabelLoss([Head("", BOXES, "boxes")], {"y": (1, 4)}, {"y": True}).heads


def test_the_names_of_schedules_are_those_of_the_table():
    assert set(SCHEDULE_NAMES) == set(SCHEDULES)

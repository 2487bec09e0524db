"""What each labelled output is trained towards, and by which loss."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from tightfit.data.sample import Sample  # noqa: E402 - after the check for Keras
from tightfit.evaluation.labels import BOXES, CLASS, PLACES, SEVERAL, VALUES, Head  # noqa: E402 - likewise
from tightfit.training.loop.label_loss import LabelLoss  # noqa: E402 - likewise
from tightfit.training.option_checks import SCHEDULE_NAMES  # noqa: E402 - likewise
from tightfit.training.transforms.sparsity_schedules import SCHEDULES  # noqa: E402 - likewise


def sample(label=None, **labels):
    return Sample({"x": np.zeros((1, 2), np.float32)}, label, labels=labels)


def loss_of(heads, shapes, samples, outputs, logits=True):
    loss = LabelLoss(heads, shapes, dict.fromkeys(shapes, logits))
    loss.look_at(samples)
    targets = [loss.targets(s) for s in samples]
    stacked = {name: np.stack([t[name] for t in targets]) for name in targets[0]}
    return float(keras.ops.convert_to_numpy(loss(stacked, outputs)))


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


def test_boxes_measure_and_do_not_train():
    assert not LabelLoss([Head("", BOXES, "boxes")], {"y": (1, 4)}, {"y": True}).heads


def test_the_names_of_schedules_are_those_of_the_table():
    assert set(SCHEDULE_NAMES) == set(SCHEDULES)

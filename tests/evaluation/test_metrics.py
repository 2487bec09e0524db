from __future__ import annotations

import math

import numpy as np
import pytest

from tightfit.errors import DataError, TightfitError
from tightfit.evaluation.labels.label_shift import LabelCheck
from tightfit.evaluation.metrics import METRICS, Answer, decibels, decisions
from tightfit.evaluation.task_choice import choose_task


def score(name, output, label=None, reference=None, **facts):
    output = np.asarray(output, np.float32)
    reference = output if reference is None else np.asarray(reference, np.float32)
    answer = Answer({"y": output}, {"y": reference}, label, "y", ("y",), **facts)
    return METRICS[name].score(answer)


def test_the_largest_score_is_the_decision():
    assert score("top1", [[0.1, 0.7, 0.2]], 1) == 1
    assert score("top1", [[0.1, 0.7, 0.2]], 2) == 0
    assert score("top1", [[0.1, 0.7, 0.2]], np.array([0, 1.0, 0])) == 1


def test_equal_scores_count_for_the_lowest_class_only():
    flat = np.zeros((1, 100))
    assert [score("top1", flat, c) for c in (0, 1, 99)] == [1, 0, 0]
    assert [score("top5", flat, c) for c in (0, 4, 5, 99)] == [1, 1, 0, 0]


def test_top5_takes_the_five_largest():
    ladder = [np.arange(10.0)]
    assert [score("top5", ladder, c) for c in range(10)] == [0] * 5 + [1] * 5


def test_a_map_of_classes_is_scored_by_its_share_of_right_places():
    output = np.eye(3)[[[0, 1], [2, 2]]][None]
    assert score("top1", output, np.array([[0, 1], [2, 0]])) == 0.75


def test_one_unit_decides_by_its_threshold():
    assert score("top1", [[0.6]], 1) == 1
    assert score("top1", [[0.6]], 0) == 0
    assert score("top1", [[0.1]], 1, threshold=0.0) == 1
    assert decisions(np.array([[0.4, 0.3]])).tolist() == [0]


def test_agreement_is_the_share_of_equal_decisions_where_it_is_least():
    assert score("agreement", [[1, 2, 3]], reference=[[0, 0, 9]]) == 1
    assert score("agreement", [[3, 2, 1]], reference=[[0, 0, 9]]) == 0
    outputs = {"a": np.float32([[1, 0]]), "b": np.float32([[0, 1]])}
    reference = {"a": np.float32([[1, 0]]), "b": np.float32([[1, 0]])}
    assert METRICS["agreement"].score(Answer(outputs, reference, None, "a", ("a", "b"))) == 0


def test_errors_are_means_over_the_entries():
    assert score("mae", [[1, 2]], np.array([1.5, 3])) == 0.75
    assert score("mse", [[1, 2]], np.array([1.5, 3])) == 0.625
    with pytest.raises(DataError, match="label of shape 3 cannot be compared with output 'y' of shape 1x2"):
        score("mae", [[1, 2]], np.zeros(3))


def test_the_signal_to_noise_ratio_is_in_decibels():
    assert score("snr", [[1.1, 0]], reference=[[1, 0]]) == pytest.approx(20, abs=1e-5)
    assert score("snr", [[1, 0]], reference=[[1, 0]]) == 200
    assert decibels(0.0, 1.0) == -200


def test_the_cosine_forgets_length():
    assert score("cosine", [[2, 2]], reference=[[1, 1]]) == pytest.approx(1)
    assert score("cosine", [[1, 0]], reference=[[1, 1]]) == pytest.approx(math.sqrt(0.5))


def test_labels_outside_of_the_classes_are_refused():
    for label in (3, -1):
        with pytest.raises(
            DataError, match=f"label {label} is outside of the 3 classes of output 'y', 0 to 2"
        ):
            score("top1", [[0, 0, 1]], label)
    with pytest.raises(DataError, match="not one-hot"):
        score("top1", [[0, 0, 1]], np.array([0.5, 0.5, 0]))
    with pytest.raises(DataError, match="label of shape 2 is no class of an output"):
        score("top1", [[0, 0, 1]], np.array([1, 2]))


SOFTMAX = {"y": np.float32([[0.2, 0.5, 0.3]])}
LOGITS = {"y": np.float32([[-2, 5, 3]])}
UNIT = {"y": np.float32([[0.3]])}


@pytest.mark.parametrize(
    ("label", "outputs", "labels", "metric"),
    [
        (2, LOGITS, np.array([0, 2]), "top1"),
        (np.array(2.0), LOGITS, np.array([0.0, 2.0]), "top1"),
        (np.array([0, 0, 1]), LOGITS, None, "top1"),
        (np.array([0.5, 3, 1]), LOGITS, None, "mae"),
        (np.array([[0, 1]]), {"y": np.zeros((1, 1, 2, 3))}, None, "top1"),
        (1, UNIT, np.array([0, 1]), "top1"),
        (4, UNIT, np.array([4, 1]), "mae"),
        (np.array(0.5), UNIT, np.array([0.5, 1]), "mae"),
        (None, SOFTMAX, None, "agreement"),
        (None, LOGITS, None, "cosine"),
        (None, UNIT, None, "cosine"),
    ],
)
def test_the_metric_follows_from_labels_and_outputs(label, outputs, labels, metric):
    assert choose_task("auto", [(label, outputs)], labels).metric.name == metric


def test_the_threshold_of_one_unit_is_that_of_logits_when_the_outputs_are_logits():
    ones = np.array([0, 1])
    assert choose_task("auto", [(1, UNIT)], ones).threshold == 0.5
    assert choose_task("auto", [(1, UNIT), (0, {"y": np.float32([[-4]])})], ones).threshold == 0


def test_only_outputs_that_decide_are_asked_for_agreement():
    both = {"boxes": np.float32([[4, 9, 1, 3]]), "scores": np.float32([[0.25, 0.75]])}
    assert choose_task("auto", [(None, both)]).decided == ("scores",)
    assert choose_task("top1@scores", [(1, both)], np.array([1])).output == "scores"
    assert choose_task("mae", [(np.zeros(4), both)]).decided == ("scores",)


@pytest.mark.parametrize(
    ("metric", "label", "labels", "message"),
    [
        ("topp1", 1, [1], "Unknown metric 'topp1'.*Did you mean 'top1'"),
        ("top1@z", 1, [1], "Unknown output 'z'"),
        ("top1", None, None, "'top1' needs labels, and the data has none"),
        (
            "auto",
            1,
            [1, 3],
            r"1 of 2 labels lie outside of the 3 classes .*: they are 1 to 3, not 0 to 2. .*start at 1",
        ),
        ("auto", 1, [1, 999], "1 of 2 labels lie outside of the 3 classes of output 'y'"),
    ],
)
def test_a_task_that_does_not_fit_is_refused(metric, label, labels, message):
    with pytest.raises(TightfitError, match=message):
        choose_task(metric, [(label, LOGITS)], None if labels is None else np.array(labels))


def check(labels, predictions, classes=10):
    found = LabelCheck()
    for label, prediction in zip(labels, predictions, strict=True):
        found.add(label, np.eye(classes)[[prediction]])
    found.verify()


def complaint(labels, predictions, classes):
    """What the check says, "" when nothing."""
    try:
        check(labels, predictions, classes)
    except DataError as error:
        return str(error)
    return ""


def test_labels_that_are_off_by_one_are_found():
    labels = np.arange(60) % 8
    with pytest.raises(
        DataError, match=r"of 60 samples .* right on 0 .* on 60 with label \+1 .*10 classes.* Add one"
    ):
        check(labels.tolist(), labels + 1)
    with pytest.raises(DataError, match="Subtract one from"):
        check((labels + 1).tolist(), labels)


def test_bad_models_are_not_taken_for_shifted_labels():
    labels = np.arange(60) % 8
    models = {
        "right": (labels, labels, 10),
        "one class for all": (labels, np.full(60, 3), 10),
        "one class for all, and one label": (np.full(60, 2), np.full(60, 3), 10),
        "always wrong of two": (labels % 2, 1 - labels % 2, 2),
        "off by one in too few": (labels[:10], labels[:10] + 1, 10),
    }
    assert {
        name: complaint(y.tolist(), p, classes) for name, (y, p, classes) in models.items()
    } == dict.fromkeys(models, "")

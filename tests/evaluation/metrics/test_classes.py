from __future__ import annotations

import numpy as np
import pytest

from tightfit.errors import DataError
from tightfit.evaluation.labels.label_kinds import Probe
from tightfit.evaluation.metrics.metric import SHARE
from tightfit.evaluation.metrics.metric_table import METRICS
from tightfit.evaluation.metrics.tally import tally_of
from tightfit.evaluation.task_choice import choose_tasks


def value(metric, probes):
    labels = [p.label for p in probes]
    scalars = {"": np.array(labels)} if all(isinstance(x, int) for x in labels) else {}
    task = choose_tasks(metric, probes, scalars).tasks[0]
    tally = tally_of(task.metric)
    for index, p in enumerate(probes):
        tally.add(task.answer(p.outputs, p.outputs, p.label, p.labels, p.inputs), index)
    return tally.estimate()[0]


def samples(labels, outputs, **inputs):
    return [
        Probe(x, {"y": np.asarray(y, np.float32)[None]}, {}, inputs)
        for x, y in zip(labels, outputs, strict=True)
    ]


DECISIONS = np.eye(3)[[0, 0, 1, 1, 2, 0]]
TRUTHS = [0, 1, 1, 1, 2, 2]


def test_f1_precision_and_recall_follow_their_formulas():
    # class 0: 1 hit of 3 decided, 1 labelled; class 1: 2 of 2, 3; class 2: 1 of 1, 2
    given = samples(TRUTHS, DECISIONS)
    assert value("precision", given) == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert value("recall", given) == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    assert value("f1", given) == pytest.approx((2 / 4 + 4 / 5 + 2 / 3) / 3)
    assert value("f1(micro)", given) == value("top1", given) == pytest.approx(4 / 6)


def test_classes_that_never_occur_do_not_count():
    four = np.pad(DECISIONS, ((0, 0), (0, 1)))
    assert value("f1", samples(TRUTHS, four)) == value("f1", samples(TRUTHS, DECISIONS))


def test_one_unit_scores_class_one():
    given = samples([1, 1, 0, 0], [[0.9], [0.2], [0.8], [0.1]])
    assert value("f1", given) == 0.5
    assert value("auc", given) == 0.75


def test_several_classes_at_once_are_scored_by_unit():
    given = samples([np.array([1, 1, 0]), np.array([0, 0, 0])], [[0.9, 0.1, 0.6], [0.2, 0.1, 0.3]])
    tasks = choose_tasks("auto", given, {})
    assert tasks.tasks[0].name == "f1"
    assert tasks.reading.heads[0].kind == "several classes"
    assert value("f1(micro)", given) == pytest.approx(2 * 1 / (2 + 2))
    assert value("top1", given) == 0.5


def test_equal_scores_count_half_in_the_area():
    assert value("auc", samples([1, 0], [[0.5], [0.5]])) == 0.5


def test_miou_and_dice_leave_ignored_places_out():
    scores = np.eye(3)[[[0, 0], [1, 2]]]
    given = samples([np.array([[0, 1], [1, 255]])], [scores])
    # class 0: 1 common of 2; class 1: 1 common of 2; class 2 decided only where nothing counts
    assert value("miou", given) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert value("dice", given) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert value("top1", given) == pytest.approx(2 / 3)
    assert [t.name for t in choose_tasks("auto", given, {}).tasks] == ["top1", "miou"]


def test_a_mask_of_one_unit_has_two_classes():
    given = samples([np.array([[1, 0], [0, 0]])], [np.array([[[0.9], [0.8]], [[0.1], [0.2]]])])
    assert value("miou", given) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_labels_that_are_words_are_refused_for_classes():
    with pytest.raises(DataError, match=r"A label is 'cat'. Expected numbers"):
        choose_tasks("auto", [Probe("cat", {"y": np.zeros((1, 3), np.float32)})])


@pytest.mark.parametrize("name", METRICS)
def test_every_row_says_what_it_is(name):
    row = METRICS[name]
    kinds = [row.score is not None, row.sums is not None, row.record is not None]
    assert sum(kinds) == 1
    assert row.noun
    assert row.formula
    assert row.summary
    assert row.reads
    assert not row.needs_labels or row.labels != "none"
    assert row.needs_labels or row.proxy
    assert row.unit != SHARE or row.best in (0.0, 1.0)

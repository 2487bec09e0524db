from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.data.split import hold_out, split
from tightfit.errors import DataError


@given(st.integers(2, 200), st.data())
def test_calibration_and_evaluation_are_disjoint_and_ascending(count, data):
    calibration = data.draw(st.integers(0, count - 1))
    evaluation = data.draw(st.none() | st.integers(1, count))
    labels = data.draw(st.none() | st.just(np.arange(count) % 7))
    cal, ev = split(labels, count, calibration, evaluation, seed=data.draw(st.integers(0, 9)))
    rest = count - calibration
    assert len(cal) == calibration
    assert len(ev) == (rest if evaluation is None else min(rest, evaluation))
    assert not set(cal) & set(ev)
    assert (np.diff(cal) > 0).all()
    assert (np.diff(ev) > 0).all()


def test_calibration_takes_equally_many_of_each_class():
    labels = np.repeat([0, 1, 2], [1000, 100, 10])
    cal, _ = split(labels, len(labels), 30)
    assert np.bincount(labels[cal]).tolist() == [10, 10, 10]
    cal, _ = split(labels, len(labels), 50)
    assert np.bincount(labels[cal]).tolist() == [20, 20, 10]


def test_evaluation_keeps_the_shares_of_the_classes():
    labels = np.repeat([0, 1], [900, 300])
    _, ev = split(labels, len(labels), 0, 100)
    assert np.bincount(labels[ev]).tolist() == [75, 25]


def test_equal_seeds_split_equally_and_others_do_not():
    a, b, c = (split(None, 1000, 100, seed=s)[0].tolist() for s in (3, 3, 4))
    assert a == b != c


def test_real_labels_are_not_taken_for_classes():
    cal, ev = split(np.linspace(0, 1, 50), 50, 10)
    assert len(cal) == 10
    assert len(ev) == 40


def test_nothing_left_to_evaluate_is_refused_unless_overlap_is_allowed():
    with pytest.raises(DataError, match="The data has 1 samples, and calibrating with 1 leaves none"):
        split(None, 1, 1)
    cal, ev = split(None, 1, 1, overlap=True)
    assert cal.tolist() == ev.tolist() == [0]


def test_labels_must_match_the_samples():
    with pytest.raises(DataError, match="3 labels for 4 samples"):
        split(np.arange(3), 4, 1)


def test_a_rare_class_is_held_out_and_trained_on_in_its_share():
    labels = np.zeros(1000, np.int64)
    labels[np.random.default_rng(0).choice(1000, 24, replace=False)] = 1
    measured, trained = hold_out(labels, 1000, 250, seed=3)
    assert (labels[measured].sum(), labels[trained].sum()) == (6, 18)
    assert sorted([*measured, *trained]) == list(range(1000))

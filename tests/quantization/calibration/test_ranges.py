from __future__ import annotations

import numpy as np
import pytest

from tightfit.errors import OptionError, QuantizationError
from tightfit.quantization.calibration.observers import find_observer
from tightfit.quantization.calibration.ranges import DEFAULT_OBSERVERS, Ranges
from tightfit.streaming.tensor_statistics import Statistics


def seen(*arrays) -> Statistics:
    statistics = Statistics()
    for array in arrays:
        statistics.update(np.asarray(array, np.float32))
    return statistics


def test_given_ranges_hold_for_every_type():
    ranges = Ranges.given({"x": (-1, 6)})
    assert [ranges.find(0, "x", dtype) for dtype in DEFAULT_OBSERVERS] == [(-1.0, 6.0)] * 2


def test_a_tensor_that_was_not_calibrated_has_no_range():
    ranges = Ranges([{"x": seen([1.0])}])
    assert ranges.find(0, "y", "int8") is None
    assert ranges.find(1, "x", "int8") is None


def test_each_type_has_its_own_observer():
    data = np.random.default_rng(0).laplace(size=4000)
    ranges = Ranges([{"x": seen(data)}], {"int8": "percentile:99"})
    assert ranges.find(0, "x", "int16") == (np.float32(data.min()), np.float32(data.max()))
    assert ranges.find(0, "x", "int8") == find_observer("percentile:99")(seen(data), "int8")


def test_a_range_that_is_set_wins_over_what_was_seen():
    ranges = Ranges([{"x": seen([1.0, 5.0])}])
    ranges.set(0, "x", "int8", (0.0, 2.0))
    assert ranges.find(0, "x", "int8") == (0.0, 2.0)
    assert ranges.find(0, "x", "int16") == (1.0, 5.0)


@pytest.mark.parametrize("limits", [(2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_a_range_that_is_none_is_refused_by_name(limits):
    with pytest.raises(OptionError, match="The range of 'x' is"):
        Ranges.given({"x": limits})


def test_observers_are_checked_before_anything_is_calibrated():
    with pytest.raises(OptionError, match="Did you mean 'minmax'"):
        Ranges([], {"int8": "minmx"})
    with pytest.raises(OptionError, match="Unknown activation type for an observer 'int9'"):
        Ranges([], {"int9": "mse"})


def test_a_tensor_without_elements_is_zero():
    assert Ranges([{"x": seen(np.zeros((0, 3)))}]).find(0, "x", "int8") == (0.0, 0.0)


def test_a_tensor_that_never_was_finite_is_an_error():
    with pytest.raises(QuantizationError, match="'x' was NaN"):
        Ranges([{"x": seen([np.nan])}]).find(0, "x", "int8")


def test_tensors_that_were_bad_at_times_are_listed():
    statistics = {"fine": seen([1.0]), "partly": seen([1.0], [np.nan]), "never": seen([np.inf])}
    assert Ranges([statistics]).partly_bad(0) == ["partly"]
    assert Ranges([]).partly_bad(0) == []

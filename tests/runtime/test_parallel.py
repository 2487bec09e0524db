"""Several child processes observe together: the result is that of one, in any number."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import Builder
from tightfit.errors import TightfitError
from tightfit.graph.ir import Model
from tightfit.graph.writer import serialize
from tightfit.runtime.parallel import observe_together
from tightfit.streaming.tensor_statistics import Watch


@pytest.fixture(scope="module")
def model():
    builder = Builder()
    x = builder.input("x", (1, 4, 4, 2))
    builder.graph.outputs = [builder.op("ABS", [x], x.shape, name="y")]
    return bytes(serialize(Model([builder.graph])))


def samples(count):
    random = np.random.default_rng(3)
    return [{"x": random.normal(size=(1, 4, 4, 2)).astype(np.float32)} for _ in range(count)]


@pytest.mark.parametrize("workers", [2, 3])
def test_more_workers_see_what_one_sees(model, workers):
    one = observe_together(model, samples(7), {"y": Watch(keep=2)}, workers=1)["y"]
    many = observe_together(model, samples(7), {"y": Watch(keep=2)}, workers=workers)["y"]
    assert (one.statistics.low, one.statistics.high) == (many.statistics.low, many.statistics.high)
    np.testing.assert_array_equal(one.statistics.histogram()[0], many.statistics.histogram()[0])
    assert list(one.kept) == list(many.kept) == [0, 1]
    for number, array in one.kept.items():
        np.testing.assert_array_equal(array, many.kept[number])


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize(("in_order", "kept"), [(False, [0, 1, 8, 16, 24]), (True, [0, 1, 2, 3, 4])])
def test_kept_arrays_are_spread_over_all_samples_with_any_number_of_workers(model, workers, in_order, kept):
    watch, given = Watch(keep=2, more_bytes=1 << 20, most=5, in_order=in_order), samples(32)
    seen = observe_together(model, given, {"y": watch}, workers=workers)["y"]
    assert (list(seen.kept), seen.answered) == (kept, 32)
    for number, array in seen.kept.items():
        np.testing.assert_array_equal(array, np.abs(given[number]["x"]))


def test_fewer_samples_than_workers_are_enough(model):
    seen = observe_together(model, samples(1), {"y": Watch()}, workers=3)["y"]
    assert seen.statistics.samples == 1


def test_a_sample_that_does_not_fit_ends_all_with_its_sentence(model):
    wrong = [*samples(2), {"x": np.zeros((1, 5), np.float32)}, *samples(6)]
    with pytest.raises(TightfitError, match="x"):
        observe_together(model, wrong, {"y": Watch()}, workers=2)


def test_an_error_of_the_stream_reaches_the_caller(model):
    def broken():
        yield from samples(2)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        observe_together(model, broken(), {"y": Watch()}, workers=2)

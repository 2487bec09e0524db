"""Statistics are exact in what they promise, whatever order samples come in, and never grow."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tightfit.streaming.tensor_statistics import BINS, SUBSAMPLE, Statistics, Watch

# Shorter than the subsample, so that every value is counted; magnitudes over many powers of two, but not so
# many that a small value underflows to zero in units of the largest.
sizes = st.floats(2.0**-50, 2.0**50, width=32)
values = sizes | sizes.map(lambda x: -x) | st.sampled_from([0.0, 1.0, -1.0, 2.0, -4.0])
arrays = hnp.arrays(np.float32, st.integers(1, 6), elements=values)
streams = st.lists(arrays, min_size=1, max_size=5)


def seen(stream, *, flushing: bool = False) -> Statistics:
    statistics = Statistics()
    for array in stream:
        statistics.update(array)
        if flushing:
            statistics.histogram()  # counts at once, so that the reach has to grow between samples
    statistics.histogram()
    return statistics


def direct_histogram(data: np.ndarray, reach: float) -> np.ndarray:
    """Counts between the edges -reach, -reach + w … reach; powers of two, so the edges are exact."""
    edges = np.arange(-BINS // 2, BINS // 2 + 1) * (2 * reach / BINS)
    places = np.searchsorted(edges, data.astype(np.float64), side="right") - 1
    return np.bincount(places, minlength=BINS)


@settings(max_examples=60)
@given(streams)
def test_growing_by_merging_bins_equals_one_direct_histogram(stream):
    statistics = seen(stream, flushing=True)
    everything = np.concatenate(stream)
    if statistics.reach:
        np.testing.assert_array_equal(statistics.counts, direct_histogram(everything, statistics.reach))
        assert np.abs(everything).max() < statistics.reach
    assert statistics.counts.sum() == everything.size


@settings(max_examples=60)
@given(streams, st.randoms(use_true_random=False))
def test_the_order_of_samples_changes_only_the_moving_averages(stream, random):
    shuffled = list(stream)
    random.shuffle(shuffled)
    one, other = seen(stream), seen(shuffled, flushing=True)
    assert (one.low, one.high, one.samples, one.reach) == (other.low, other.high, other.samples, other.reach)
    np.testing.assert_array_equal(one.counts, other.counts)


@settings(max_examples=60)
@given(streams, st.integers(1, 3))
def test_merging_lanes_equals_one_pass(stream, lanes):
    parts = [seen(stream[i::lanes]) for i in range(lanes)]
    parts[0].merge(parts[1:])
    whole = seen(stream)
    assert (parts[0].low, parts[0].high, parts[0].samples) == (whole.low, whole.high, whole.samples)
    assert parts[0].reach == whole.reach
    np.testing.assert_array_equal(parts[0].counts, whole.counts)


def test_extremes_are_exact_though_the_histogram_is_a_subsample():
    data = np.zeros(100_003, np.float32)
    data[99_999] = -7.5
    statistics = seen([data])
    assert (statistics.low, statistics.high) == (-7.5, 0.0)
    assert SUBSAMPLE <= statistics.counts.sum() <= 2 * SUBSAMPLE


@pytest.mark.parametrize("shape", [(64, 64, 3), (1, 112, 112, 6), (48, 96, 7), (1, 3000, 2)])
def test_the_subsample_walks_through_every_channel(shape):
    statistics = seen([np.broadcast_to(np.arange(1, shape[-1] + 1, dtype=np.float32), shape)])
    counts, centres = statistics.histogram()
    found = {round(c) for c, n in zip(centres, counts, strict=True) if n}
    assert found == set(range(1, shape[-1] + 1))


def test_memory_does_not_grow_with_the_samples():
    rng = np.random.default_rng(0)
    watch = Watch(keep=2, more_bytes=1 << 30, most=16)
    for i in range(200):
        values = rng.standard_normal((1, 30, 31, 3)).astype(np.float32)
        watch.update(values)
        assert watch.statistics.waiting < 2**15
        if i % 20 == 0:
            watch.statistics.histogram()
            assert len(pickle.dumps(watch)) <= 8 * BINS + (16 + 2) * (values.nbytes + 100) + 1000


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_with_nan_or_infinity_is_counted_and_left_out(bad):
    statistics = seen([np.float32([1, -2]), np.float32([bad, 100.0]), np.float32([0.5])])
    assert (statistics.bad, statistics.samples) == (1, 2)
    assert (statistics.low, statistics.high) == (-2.0, 1.0)
    assert statistics.counts.sum() == 3


def test_merging_counts_bad_samples_of_every_lane():
    one, other = seen([np.float32([1])]), seen([np.float32([np.nan])])
    one.merge([other, seen([np.float32([np.inf]), np.float32([3])])])
    assert (one.samples, one.bad, one.high) == (2, 2, 3.0)


def test_nothing_seen_gives_an_empty_histogram():
    statistics = seen([np.zeros((0, 4), np.float32)])
    assert (statistics.samples, statistics.bad) == (0, 0)
    assert statistics.histogram()[0].size == 0


def test_zeros_alone_stand_in_the_middle():
    counts, centres = seen([np.zeros(10, np.float32)]).histogram()
    assert counts.sum() == 10
    assert set(centres) == {0.0}


def test_moving_averages_forget_slowly():
    statistics = seen([np.float32([-1, 1]), np.float32([-2, 11])])
    assert statistics.average_low == pytest.approx(-1.1)
    assert statistics.average_high == pytest.approx(2.0)


def test_values_too_small_for_a_bin_width_are_counted_as_zero():
    statistics = seen([np.float32([1e-45, -1e-40])])
    counts, centres = statistics.histogram()
    assert counts.sum() == 2
    assert np.abs(centres).max() <= 1e-30


def test_float64_samples_that_round_up_to_the_reach_are_counted():
    assert seen([np.array([1 - 1e-12])]).counts.sum() == 1


def test_a_watch_keeps_copies_of_the_first_arrays():
    watch = Watch(statistics=False, keep=2)
    view = np.zeros(3, np.float32)
    for i in range(4):
        view[:] = i
        watch.update(view)
    assert {i: a.tolist() for i, a in watch.kept.items()} == {0: [0.0] * 3, 1: [1.0] * 3}
    assert watch.statistics is None


def test_merged_watches_keep_the_first_samples_in_their_order():
    lanes = [Watch(statistics=False, keep=2) for _ in range(2)]
    for i, lane in enumerate(lanes):
        lane.place(i, 2)
    for i in range(5):
        lanes[i % 2].update(np.float32([i]))
    lanes[0].merge(lanes[1:])
    assert {i: float(a[0]) for i, a in lanes[0].kept.items()} == {0: 0.0, 1: 1.0}


def test_without_histograms_the_extremes_are_the_same():
    random = np.random.default_rng(5)
    full, brief = Statistics(), Statistics(detailed=False)
    for _ in range(9):
        values = random.standard_normal((7, 11)).astype(np.float32)
        full.update(values)
        brief.update(values)
    names = ("low", "high", "average_low", "average_high", "samples", "bad")
    assert [getattr(full, n) for n in names] == [getattr(brief, n) for n in names]
    assert brief.histogram()[0].sum() == 0

"""Each observer against brute force on small data."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tightfit.errors import OptionError, QuantizationError
from tightfit.quantization.arithmetic import LIMITS, activation_parameters, dequantize, quantize
from tightfit.quantization.calibration.observers import OBSERVERS, _rounding, find_observer, observe_range
from tightfit.streaming.tensor_statistics import BINS, Statistics

rng = np.random.default_rng(7)
SHAPES = {
    "normal": rng.standard_normal(2000),
    "laplace": rng.laplace(size=2000),
    "uniform": rng.uniform(-3, 1, 2000),
    "relu": np.maximum(rng.standard_normal(2000), 0),
    "offset": rng.normal(20, 1, 2000),
    "negative": -rng.exponential(size=2000),
    "heavy": rng.standard_t(1.5, 2000),
    "one outlier": np.append(rng.standard_normal(1999), 500.0),
}


def seen(*arrays: np.ndarray) -> Statistics:
    statistics = Statistics()
    for array in arrays:
        statistics.update(array.astype(np.float32))
    return statistics


def error(values: np.ndarray, limits: tuple[float, float], dtype: str) -> float:
    """The true squared error of storing values in a range."""
    scale, zero_point = activation_parameters(*limits, dtype)
    values = values.astype(np.float32)
    back = dequantize(quantize(values, scale, zero_point, dtype), scale, zero_point)
    return float(np.square((back - values).astype(np.float64)).sum())


def test_minmax_clips_nothing():
    assert OBSERVERS["minmax"](seen(np.array([-1.5, 3.0]), np.array([7.0])), "int8") == (-1.5, 7.0)


def test_moving_average_weighs_samples():
    samples = [np.array([-1.0, 2.0]), np.array([-3.0, 2.0]), np.array([0.0, 12.0])]
    low = high = None
    for sample in samples:
        low = sample.min() if low is None else 0.9 * low + 0.1 * sample.min()
        high = sample.max() if high is None else 0.9 * high + 0.1 * sample.max()
    assert OBSERVERS["moving-average"](seen(*samples), "int8") == pytest.approx((low, high))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("share", [99.0, 99.9])
def test_percentile_is_that_of_the_sorted_values_within_a_bin(name, share):
    statistics = seen(SHAPES[name])
    low, high = find_observer(f"percentile:{share}")(statistics, "int8")
    width = 2 * statistics.reach / BINS
    ordered = np.sort(SHAPES[name])
    tail = (100 - share) / 100 * ordered.size
    assert ordered[int(np.floor(tail))] - width <= low <= ordered[int(np.ceil(tail))] + width
    assert ordered[-1 - int(np.ceil(tail))] - width <= high <= ordered[-1 - int(np.floor(tail))] + width


def test_all_percent_are_the_extremes():
    statistics = seen(SHAPES["heavy"])
    assert find_observer("percentile:100")(statistics, "int8") == (statistics.low, statistics.high)


def test_what_becomes_zero_costs_its_square_and_what_does_not_a_twelfth_of_a_step():
    centres = np.array([-0.4, -0.1, 0.0, 0.3, 2.0])
    counts = np.array([3, 5, 7, 2, 1])
    for scale in (0.05, 0.5, 0.7, 10.0):
        costs = [c**2 if abs(c) < scale / 2 else scale**2 / 12 for c in centres]
        assert _rounding(counts, centres, np.array([scale])) == pytest.approx(counts @ costs)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("name", SHAPES)
def test_mse_comes_close_to_the_best_range_of_an_exhaustive_search(name, dtype):
    values = SHAPES[name]
    shares = np.geomspace(1.0, 1 / 300, 24)
    lows, highs = min(values.min(), 0.0) * shares, max(values.max(), 0.0) * shares
    pairs = zip(lows, highs, strict=True) if dtype == "int16" else itertools.product(set(lows), set(highs))
    best = min(error(values, pair, dtype) for pair in pairs)
    chosen = error(values, OBSERVERS["mse"](seen(values), dtype), dtype)
    # The histogram knows a clipped value to half a bin, and the model of rounding is right on average only.
    bins = values.size * (2 * np.abs(values).max() / BINS) ** 2
    assert chosen <= 1.1 * best + (
        bins if dtype == "int8" else 2 * error(values, (values.min(), values.max()), dtype)
    )


@pytest.mark.parametrize("name", ["mse", "percentile", "entropy"])
def test_an_outlier_is_clipped(name):
    data = [rng.standard_normal(2000) for _ in range(60)]
    statistics = seen(*data, np.append(rng.standard_normal(2000), 40.0))
    low, high = OBSERVERS[name](statistics, "int8")
    assert high < 35
    assert low <= -2.5


@pytest.mark.parametrize("name", ["minmax", "moving-average"])
def test_an_outlier_is_kept_where_nothing_is_clipped(name):
    assert OBSERVERS[name](seen(np.append(rng.standard_normal(2000), 40.0)), "int8")[1] == 40.0


def divergence(values: np.ndarray, limits: tuple[float, float], levels: int) -> float:
    """Kullback-Leibler divergence written out by the book, on the observer's own histogram."""
    counts, centres = seen(values).histogram()
    low, high = limits
    inside = [i for i, c in enumerate(centres) if low <= c <= high]
    p = np.array([float(counts[i]) for i in inside])
    p[0] += sum(counts[i] for i in range(inside[0]))
    p[-1] += sum(counts[i] for i in range(inside[-1] + 1, len(counts)))
    step = (high - low) / (levels - 1)
    groups: dict[int, list[int]] = {}
    for k, i in enumerate(inside):
        groups.setdefault(round((centres[i] - low) / step), []).append(k)
    q = np.zeros(len(inside))
    for members in groups.values():
        live = [k for k in members if counts[inside[k]]]
        for k in live:
            q[k] = sum(counts[inside[m]] for m in live) / len(live)
    p, q = p / p.sum(), q / q.sum()
    return float(sum(a * np.log(a / max(b, 1e-12)) for a, b in zip(p, q, strict=True) if a > 0))


@pytest.mark.parametrize("name", ["normal", "relu"])
def test_entropy_has_the_least_divergence_of_coarse_alternatives(name):
    values = SHAPES[name]
    low, high = OBSERVERS["entropy"](seen(values), "int8")
    chosen = divergence(values, (min(low, 0.0), high), 256)
    for limit in np.abs(values).max() * np.array([1.0, 0.8, 0.6, 0.4, 0.2]):
        other = (max(min(values.min(), 0.0), -limit), min(values.max(), limit))
        assert chosen <= divergence(values, other, 256) * 1.02 + 1e-9


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("name", OBSERVERS)
@pytest.mark.parametrize(
    "values",
    [np.zeros(5), np.full(7, 3.0), np.full(7, -3.0), np.array([1e-40]), np.array([3e38, -3e38])],
    ids=["zeros", "constant", "negative constant", "denormal", "huge"],
)
def test_every_observer_gives_a_usable_range_of_odd_data(name, values, dtype):
    low, high = OBSERVERS[name](seen(values), dtype)
    assert values.min() * (1 + 1e-6) - 1e-30 <= low <= high <= values.max() * (1 + 1e-6) + 1e-30 or (
        low,
        high,
    ) == (
        pytest.approx(float(values.min()), rel=1e-6),
        pytest.approx(float(values.max()), rel=1e-6),
    )
    scale, zero_point = activation_parameters(low, high, dtype)
    assert np.isfinite(scale)
    assert LIMITS[dtype][0] <= zero_point <= LIMITS[dtype][1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("entrpy", "Did you mean 'entropy'"),
        ("percentile:20", "above 50 to 100"),
        ("percentile:101", "above 50 to 100"),
        ("percentile:nan", "above 50 to 100"),
        ("percentile:many", "percentile:many"),
        ("mse:3", "only percentile takes a number"),
    ],
)
def test_an_unknown_observer_is_refused_with_what_is_known(name, words):
    with pytest.raises(OptionError, match=words):
        find_observer(name)


def test_a_tensor_that_never_was_finite_has_no_range():
    with pytest.raises(QuantizationError, match="'x' was NaN or infinite in all 2 calibration samples"):
        observe_range(seen(np.array([np.nan]), np.array([np.inf])), OBSERVERS["minmax"], "int8", "x")

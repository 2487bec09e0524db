from __future__ import annotations

import functools
from statistics import NormalDist

import numpy as np
import pytest

from tightfit.errors import DataError
from tightfit.evaluation.intervals import (
    bootstrap_interval,
    student_quantile,
    tango_interval,
    wilson_interval,
)
from tightfit.evaluation.paired_comparison import mean_score, paired_drop, proportion


# Published: Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8.
@pytest.mark.parametrize(
    ("only_first", "only_second", "n", "low", "high", "digits"),
    [(1, 7, 21, -0.517, -0.026, 3), (6, 16, 161, -0.1240, -0.0054, 4)],
)
def test_tangos_interval_equals_the_published_ones(only_first, only_second, n, low, high, digits):
    found = tango_interval(only_first, only_second, n)
    assert [round(limit, digits) for limit in found] == [low, high]


# Published: Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
@pytest.mark.parametrize(
    ("ones", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_equals_the_published_ones(ones, n, low, high):
    assert [round(limit, 4) for limit in wilson_interval(ones, n)] == [low, high]


@pytest.mark.parametrize(("freedom", "quantile"), [(5, 2.5706), (9, 2.2622), (19, 2.0930), (100, 1.9840)])
def test_students_quantile_equals_the_tables_within_half_a_percent(freedom, quantile):
    assert student_quantile(0.95, freedom) == pytest.approx(quantile, rel=0.005)


def test_zero_lies_in_tangos_interval_exactly_when_mcnemars_test_does_not_reject():
    z = 1.959963984540054
    for lost in range(12):
        for gained in range(12):
            low, high = tango_interval(lost, gained, 60)
            accepted = (lost - gained) ** 2 <= z * z * (lost + gained)
            assert (low <= 0 <= high) == accepted, (lost, gained)


@pytest.mark.parametrize(
    ("lost", "gained", "n"), [(0, 0, 1), (1, 0, 1), (0, 0, 500), (500, 0, 500), (0, 3, 3)]
)
def test_extreme_counts_keep_an_interval_inside_of_minus_one_to_one(lost, gained, n):
    low, high = tango_interval(lost, gained, n)
    assert -1 <= low <= (lost - gained) / n <= high <= 1
    assert low < high


def test_equal_scores_still_leave_doubt():
    drop = paired_drop([1] * 100, [1] * 100)
    z2 = 1.959963984540054**2
    assert drop.drop == 0
    assert drop.high == pytest.approx(z2 / (100 + z2), rel=1e-6)
    assert drop.low == pytest.approx(-drop.high, rel=1e-6)


def coverage(draw, truth, rounds):
    """How often the interval holds the truth."""
    random = np.random.default_rng(7)
    hits = 0
    for _ in range(rounds):
        low, high = draw(random)
        hits += low <= truth <= high
    return hits / rounds


@pytest.mark.parametrize(("lose", "gain", "n"), [(0.02, 0.01, 500), (0.1, 0.02, 100), (0.03, 0.03, 200)])
def test_tangos_interval_holds_the_true_drop_in_about_95_of_100_cases(lose, gain, n):
    rounds = 1000
    interval = functools.cache(tango_interval)

    def draw(random):
        lost, gained, _ = random.multinomial(n, [lose, gain, 1 - lose - gain])
        return interval(int(lost), int(gained), n)

    # three standard errors of the count, and 1.5 points that the discreteness may cost
    slack = 3 * (0.95 * 0.05 / rounds) ** 0.5 + 0.015
    assert abs(coverage(draw, lose - gain, rounds) - 0.95) < slack


def test_the_bootstrap_holds_the_true_mean_in_about_95_of_100_cases():
    rounds = 150

    def draw(random):
        return bootstrap_interval(random.normal(0.3, 1.0, 80), seed=int(random.integers(1 << 30)))

    assert abs(coverage(draw, 0.3, rounds) - 0.95) < 3 * (0.95 * 0.05 / rounds) ** 0.5 + 0.015


def test_scores_that_are_not_0_or_1_are_bootstrapped_in_pairs():
    random = np.random.default_rng(0)
    before = random.random(200)
    drop = paired_drop(before, before - 0.1 + random.normal(0, 0.01, 200))
    # pairing takes out the spread of the scores: 2 * 1.96 * 0.01 / sqrt(200) = 0.0028 wide, twice is slack
    assert drop.method == "bootstrap"
    assert drop.low < 0.1 < drop.high
    assert drop.high - drop.low < 2 * 0.0028


def test_a_seed_repeats_the_bootstrap():
    scores = np.random.default_rng(0).random(50)
    assert mean_score(scores, seed=1) == mean_score(scores, seed=1) != mean_score(scores, seed=2)


def test_the_bootstrap_takes_its_limits_at_the_levels_of_bca():
    values = np.random.default_rng(3).exponential(1.0, 40)
    low, high = bootstrap_interval(values, seed=5)
    means = values[np.random.default_rng(5).integers(0, 40, (2000, 40))].mean(axis=1)
    normal = NormalDist()
    bias = normal.inv_cdf((means < values.mean()).mean())
    skew = ((values - values.mean()) ** 3).sum() / (6 * ((values - values.mean()) ** 2).sum() ** 1.5)
    for limit, z in ((low, -1.959964), (high, 1.959964)):
        level = normal.cdf(bias + (bias + z) / (1 - skew * (bias + z)))
        assert (means < limit).mean() == pytest.approx(level, abs=1 / 2000)
        assert level > normal.cdf(z)  # values skewed to the right move both limits to the right


def test_one_sample_and_equal_samples_give_what_they_can():
    assert paired_drop([0.5], [0.2]).low is None
    assert mean_score([0.5]) == (0.5, None, None)
    assert mean_score([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_a_higher_confidence_is_wider():
    narrow, wide = (proportion([1, 0, 1, 1], confidence=c) for c in (0.9, 0.99))
    assert wide[1] < narrow[1] < narrow[2] < wide[2]


def test_scores_that_cannot_be_paired_are_refused():
    with pytest.raises(DataError, match="3 and 2 scores cannot be paired"):
        paired_drop([1, 0, 1], [1, 0])
    with pytest.raises(DataError, match=r"Scores of shape \(0,\)"):
        proportion([])

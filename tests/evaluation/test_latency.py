from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from tightfit.evaluation import latency
from tightfit.evaluation.latency import compare_latency, median_interval
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.writer import write_model


def dense(path, units: int):
    """One FULLY_CONNECTED of ``units * units`` weights on float32[1, units]."""
    graph = Graph()
    weights = np.random.default_rng(0).normal(0.0, 0.1, (units, units)).astype(np.float32)
    graph.inputs, graph.outputs = [Tensor("x", (1, units))], [Tensor("y", (1, units))]
    constant = Tensor("weights", weights.shape, "float32", weights)
    graph.append(
        Op("FULLY_CONNECTED", [*graph.inputs, constant, None], graph.outputs, {}, "FullyConnectedOptions")
    )
    write_model(Model([graph]), path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return dense(folder / "small.tflite", 128), dense(folder / "big.tflite", 2048)


def test_more_work_takes_longer_by_a_ratio_that_its_interval_holds(models):
    small, big = compare_latency(models, rounds=9, threads=1)
    # 256 times the multiplications, out of memory instead of the cache: at least tenfold.
    assert small.ratio == small.ratio_low == small.ratio_high == 1.0
    assert big.ratio_low > 10.0
    assert big.ratio_low <= big.ratio <= big.ratio_high
    for row in (small, big):
        assert 0.0 < row.low_ms <= row.median_ms <= row.high_ms
        assert row.runs >= 9
        assert row.threads == 1


def test_a_model_that_cannot_run_is_a_result_and_not_the_end(models, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"not a model")
    good, bad, missing, other = compare_latency([models[0], broken, tmp_path / "none", models[0]], rounds=3)
    assert "broken.tflite" in bad.reason
    assert "none" in missing.reason
    assert (bad.median_ms, bad.ratio, missing.runs) == (None, None, 0)
    assert good.reason is None
    assert other.ratio is not None


def test_without_the_first_model_the_others_have_no_ratio(models, tmp_path):
    broken, other = compare_latency([tmp_path / "none", models[0]], rounds=3)
    assert broken.reason is not None
    assert other.median_ms > 0.0
    assert other.ratio is None


def test_models_that_do_not_fit_together_are_measured_in_pairs(models, monkeypatch):
    monkeypatch.setattr(latency, "available_memory_bytes", lambda: 1.0)
    first, second, third = compare_latency([models[0], models[1], models[0]], rounds=3)
    assert first.runs >= 2 * second.runs  # the first one takes part in both pairs
    assert second.ratio > third.ratio


def test_an_exhausted_budget_still_gives_six_rounds(models):
    (row,) = compare_latency(models[1:], rounds=1000, budget_s=0.0, warmup=1)
    assert row.runs <= 6 * latency._LONGEST_BURST
    assert row.runs >= 6


@pytest.mark.parametrize("n", [6, 7, 11, 30, 100])
def test_the_medians_interval_is_the_narrowest_that_covers_it(n):
    """Coverage of order statistics j and n+1-j is 1 - 2 P(Binomial(n, 1/2) < j), in exact fractions."""
    low, high = median_interval([float(i) for i in range(1, n + 1)])
    j = int(low)
    assert high == n + 1 - j

    def coverage(j: int) -> Fraction:
        return 1 - 2 * Fraction(sum(math.comb(n, i) for i in range(j)), 2**n)

    assert coverage(j) >= Fraction(95, 100) > coverage(j + 1)


def test_few_values_give_their_extremes():
    assert median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
    assert median_interval([5.0]) == (5.0, 5.0)


def test_no_models_give_no_rows():
    assert compare_latency([]) == []


def test_no_process_is_started_anew_when_the_ratios_are_precise(models):
    counts = [compare_latency([models[0]] * 2, rounds=30, precision=p)[1] for p in (0.0, math.inf)]
    # A third of the rounds, each of which runs the model equally often.
    assert counts[1].runs * 2 < counts[0].runs

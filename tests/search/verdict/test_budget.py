import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.errors import OptionError
from tightfit.search.candidates.candidate import Candidate, TargetVerdict
from tightfit.search.verdict.budget import Budget


def int8(**measured):
    return Candidate("int8", "int8", ["int8"], **measured)


@pytest.mark.parametrize(
    ("limits", "measured", "excess"),
    [
        ({"max_drop": 0.02}, {"drop": 0.03}, 0.5),
        ({"max_drop": 0.0}, {"drop": 0.02}, 2.0),  # counted in points where the limit is below one
        ({"max_size": 4_000_000}, {"size_bytes": 5_000_000}, 0.25),
        ({"max_latency": 10.0}, {"latency_ms": 15.0}, 0.5),
        ({"max_latency_ratio": 0.5}, {"latency_ratio": 1.0}, 1.0),
        ({"target": "npu"}, {"targets": {"npu": TargetVerdict(fits=False, accelerated=0.75)}}, 0.25),
        ({"target": "npu"}, {}, 1.0),
    ],
)
def test_each_limit_is_missed_by_its_relative_excess(limits, measured, excess):
    (shortfall,) = Budget(**limits).shortfalls(int8(**measured))
    assert shortfall.excess == pytest.approx(excess)
    assert not Budget(**limits).meets(int8(**measured))


def test_a_value_on_the_limit_meets_it():
    exact = int8(drop=0.01, size_bytes=4, latency_ms=2.0, latency_ratio=0.5)
    assert Budget(max_drop=0.01, max_size=4, max_latency=2.0, max_latency_ratio=0.5).meets(exact)


@pytest.mark.parametrize("limit", ["max_drop", "max_size", "max_latency", "max_latency_ratio"])
def test_a_limit_on_what_was_not_measured_is_missed(limit):
    (shortfall,) = Budget(**{limit: 1}).shortfalls(int8())
    assert "not measured" in shortfall.reason


def test_reasons_say_what_was_measured_and_what_is_allowed():
    budget = Budget(max_drop=0.005, max_size=4_000_000, max_latency=9.0, target="ethos-u55-128")
    refused = TargetVerdict(fits=False, reasons=["TOPK_V2 falls back to the CPU."])
    candidate = int8(drop=0.0072, size_bytes=5_312_000, latency_ms=12.5, targets={"ethos-u55-128": refused})
    assert [s.reason for s in budget.shortfalls(candidate)] == [
        "Its accuracy falls by 0.7 points; the budget allows 0.5 points.",
        "The file is 5.3 MB; the budget allows 4.0 MB.",
        "A call takes 12.5 ms; the budget allows 9.00 ms.",
        "It does not fit the target ethos-u55-128: TOPK_V2 falls back to the CPU.",
    ]


def test_a_reason_never_reads_as_if_the_limit_were_met():
    size = Budget(max_size=5_300_000).shortfalls(int8(size_bytes=5_312_000))[0].reason
    assert size == "The file is a little over 5.3 MB; the budget allows 5.3 MB."
    drop = Budget(max_drop=0.005).shortfalls(int8(drop=0.0052))[0].reason
    assert drop == "Its accuracy falls by a little over 0.5 points; the budget allows 0.5 points."


def test_a_confident_budget_judges_by_the_upper_end_of_the_interval():
    candidate = int8(drop=0.007, drop_interval=(-0.002, 0.016))
    assert Budget(max_drop=0.01).meets(candidate)
    (shortfall,) = Budget(max_drop=0.01, confident=True).shortfalls(candidate)
    assert shortfall.reason == "Its accuracy may fall by up to 1.6 points; the budget allows 1.0 points."


def test_an_error_rises_in_plain_numbers():
    (shortfall,) = Budget(max_drop=0.01).shortfalls(int8(drop=0.0123, metric="mae"))
    assert shortfall.reason == "Its mean absolute error rises by 0.012; the budget allows 0.010."


def test_without_labels_changed_decisions_bound_the_drop():
    assert Budget(max_drop=0.05).meets(int8(agreement=0.958))
    (shortfall,) = Budget(max_drop=0.01).shortfalls(int8(agreement=0.958))
    assert "95.8 %" in shortfall.reason
    assert "4.2 points" in shortfall.reason


def test_the_original_loses_nothing():
    assert Budget(max_drop=0.0, confident=True).meets(Candidate("float", "float32"))


def test_a_failed_candidate_meets_no_budget():
    assert not Budget().meets(int8(failure="LiteRT refused the file."))


@pytest.mark.parametrize("name", ["max_drop", "max_size", "max_latency", "max_latency_ratio", "minutes"])
@pytest.mark.parametrize("limit", [-1.0, math.nan])
def test_a_limit_that_nothing_can_meet_is_refused(name, limit):
    with pytest.raises(OptionError, match=name):
        Budget(**{name: limit})


@given(st.floats(0, 1), st.floats(-1, 1), st.floats(0, 0.5))
def test_a_wider_limit_is_never_missed_by_more(limit, drop, wider):
    candidate = int8(drop=drop)
    narrow = sum(s.excess for s in Budget(max_drop=limit).shortfalls(candidate))
    wide = sum(s.excess for s in Budget(max_drop=min(1.0, limit + wider)).shortfalls(candidate))
    assert wide <= narrow
    assert narrow >= 0

"""A search for a target tries what the target takes, and says op by op what it makes of each candidate."""

from __future__ import annotations

import pytest

from tightfit.api.optimize import optimize
from tightfit.demo import MODEL
from tightfit.errors import OptionError
from tightfit.search.candidates.recipes import recipes
from tightfit.search.candidates.target_policy import TargetPolicy
from tightfit.search.job import Job
from tightfit.search.verdict.budget import Budget


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    budget = Budget(target="edge-tpu", target_memory=64_000)
    return optimize(
        Job(
            model=MODEL, data="tightfit.demo:evaluation", output=tmp_path_factory.mktemp("fit"),
            evaluation=30, calibration=10, budget=budget, effort="quick",
            recipes=("int8",),
        )
    )  # fmt: skip


def test_a_candidate_has_the_ends_and_the_layout_of_the_target(report):
    assert [(c.name, c.interface, c.layout) for c in report.candidates[1:]] == [("int8", "int8", "npu")]


def test_the_verdict_on_each_candidate_is_in_the_report(report):
    original, int8 = (c.targets["edge-tpu"] for c in report.candidates)
    assert (original.accelerated, int8.accelerated) == (0.0, 1.0)
    assert not original.fits
    assert len(int8.ops) == len(original.ops)
    assert all(op["accelerated"] for op in int8.ops)
    assert all(op["reason"] and op["fix"] for op in original.ops)


def test_a_candidate_that_does_not_fit_misses_the_budget_with_the_reason(report):
    original, int8 = report.candidates
    assert "0.0 % of its MACs are accelerated, the budget wants 90.0 %" in original.reasons[0]
    assert int8.meets_budget is False
    assert "bytes for weights, there are 64,000" in int8.reasons[0]
    assert not report.meets_budget


def test_the_verdicts_survive_the_journal(report):
    again = type(report).from_json(report.to_json())
    assert again.candidates[1].targets == report.candidates[1].targets


def test_recipes_that_are_named_stay():
    fitting = TargetPolicy(Budget(target="ethos-u55-128"))
    assert {r.scheme for r in fitting.recipes(recipes(), ())} == {"int8", "int16x8"}
    assert {r.interface for r in fitting.recipes(recipes(), ())} == {"int8", "int16"}
    named = [r for r in recipes() if r.name == "float16"]
    assert fitting.recipes(named, ["float16"]) == tuple(named)


def test_what_widens_activations_is_left_out_where_they_have_8_bits():
    widening = {r.name for r in recipes() if "mixed-activations" in r.recovery}
    assert widening
    kept = {
        name: {r.name for r in TargetPolicy(Budget(target=name)).recipes(recipes(), ())} for name in TARGETS
    }
    assert widening <= kept["ethos-u55-128"]
    assert not widening & kept["edge-tpu"]


TARGETS = ("ethos-u55-128", "edge-tpu")


def test_without_a_target_nothing_changes():
    fitting = TargetPolicy(Budget())
    assert fitting.recipes(recipes(), ()) == recipes()
    assert (fitting.layout(None), fitting.layout("npu")) == ("cpu", "npu")


def test_an_unknown_target_and_a_memory_without_one_are_refused(tmp_path):
    job = {"model": MODEL, "data": "tightfit.demo:evaluation", "output": tmp_path / "out"}
    with pytest.raises(OptionError, match=r"Unknown target 'ethos-u55'.*Did you mean"):
        optimize(Job(**job, budget=Budget(target="ethos-u55")))
    with pytest.raises(OptionError, match="memory= without target="):
        optimize(Job(**job, budget=Budget(target_memory=5)))
    assert not (tmp_path / "out").exists()


def test_ops_in_float_are_no_candidate_for_a_target():
    names = {r.name for r in TargetPolicy(Budget(target="ethos-u55-128")).recipes(recipes(), ())}
    assert "int8+float-ops" not in names
    assert "int8+float-ops" in {r.name for r in TargetPolicy(Budget()).recipes(recipes(), ())}

"""A search for a target tries what the target takes, and says op by op what it makes of each candidate."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import Builder
from tightfit.api.optimize import optimize
from tightfit.demo import MODEL
from tightfit.errors import OptionError
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.search.candidates.recipes import recipes
from tightfit.search.candidates.target_policy import TargetPolicy
from tightfit.search.job import Job
from tightfit.search.verdict.budget import Budget
from tightfit.targets.placement import check


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


def cut_model(path):
    """Four convolutions with ops between them that a GPU refuses, each with an exact rewrite."""
    b = Builder()
    y = b.conv(b.input("x", [1, 8, 8, 4]), 8)
    y = b.op("EXPAND_DIMS", [y, b.constant("axis", [0], "int32")], (1, *y.shape), table="ExpandDimsOptions")
    y = b.op("SQUEEZE", [y], y.shape[1:], table="SqueezeOptions", options={"squeezeDims": [0]})
    y = b.op("RELU_0_TO_1", [b.conv(y, 8)], (1, 8, 8, 8))
    y, axes = b.conv(y, 8), b.constant("axes", [1, 2], "int32")
    z = b.op("MEAN", [y, axes], [1, 1, 1, 8], table="ReducerOptions", options={"keepDims": True})
    z = b.op("BROADCAST_TO", [z, b.constant("shape", [1, 8, 8, 8], "int32")], [1, 8, 8, 8])
    write_model(b.model(b.conv(b.op("ADD_N", [y, z, y], y.shape, table="AddNOptions"), 4)), path)


def test_a_search_for_the_gpu_chooses_the_rewrite_that_leaves_one_piece(tmp_path):
    cut_model(tmp_path / "cut.tflite")
    values = np.random.default_rng(0).standard_normal((12, 8, 8, 4)).astype(np.float32)
    assert check(read_model(tmp_path / "cut.tflite"), "gpu").accelerated_share < 0.5
    found = optimize(
        Job(
            model=tmp_path / "cut.tflite", data={"x": values}, output=tmp_path / "out", evaluation=6,
            calibration=6, budget=Budget(target="gpu"), effort="quick", recipes=("float16",),
        )
    )  # fmt: skip
    chosen = found.candidates[1].targets["gpu"]
    assert (chosen.fits, chosen.accelerated) == (True, 1.0)
    verdict = check(read_model(tmp_path / "out" / "best.tflite"), "gpu")
    assert (verdict.pieces, verdict.fallbacks) == (1, [])


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

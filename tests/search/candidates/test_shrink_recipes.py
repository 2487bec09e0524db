"""Smaller models as candidates: when they are tried, what is said when not, a budget that only they meet."""

from __future__ import annotations

import pytest

from tightfit.api.optimize import optimize
from tightfit.demo import MODEL
from tightfit.graph.reader import read_model
from tightfit.search.candidates import shrink_recipes as shrinking
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.candidates.recipes import find_recipes, recipes
from tightfit.search.candidates.shrink_recipes import WAYS, refusal, training_notes
from tightfit.search.effort import EFFORTS, Skip
from tightfit.search.job import Job
from tightfit.search.verdict.budget import Budget
from tightfit.targets.profile import find_target

SMALL = Budget(max_drop=0.01, max_size=100)


def recipe(name):
    return find_recipes([name])[0]


def made(name, *, fits=False, drop=0.0):
    return Candidate(name, "int8", ["made"], drop=drop, meets_budget=fits)


@pytest.mark.parametrize("found", [r for r in recipes() if r.shrink], ids=lambda r: r.name)
def test_every_smaller_model_is_named_after_what_is_done(found):
    assert found.shrink.way in WAYS
    amount = found.shrink.amount
    assert found.name == f"{found.scheme}+{found.shrink.way}{amount if amount > 1 else 100 * amount:.0f}"


def test_smaller_models_are_tried_only_for_what_nothing_else_meets():
    channels = recipe("int8+channels75")
    unasked = Skip("No limit of the budget asks for a smaller model.", is_noted=False)
    enough = Skip("A file meets the budget with the whole model.", is_noted=False)
    assert refusal(channels, EFFORTS["normal"], Budget(max_drop=0.01), []) == unasked
    assert refusal(channels, EFFORTS["normal"], SMALL, [made("int8", fits=True)]) == enough
    assert refusal(channels, EFFORTS["normal"], SMALL, [made("int8")]) is None
    assert refusal(channels, EFFORTS["thorough"], SMALL, [made("int8", fits=True)]) is None
    assert refusal(channels, EFFORTS["thorough"], Budget(max_drop=0.01), []) == unasked
    clusters = recipe("int8+clusters32")
    assert refusal(clusters, EFFORTS["normal"], SMALL, []) == unasked, "clusters are no smaller on disk"
    assert refusal(recipe("int8+clusters32"), EFFORTS["normal"], Budget(max_zip=100), []) is None


def test_a_quick_search_says_which_effort_tries_them():
    why = refusal(recipe("int8+channels75"), EFFORTS["quick"], SMALL, [made("int8")])
    assert "--effort normal" in why.reason


def test_a_target_that_unpacks_no_zeros_refuses_them():
    for effort in ("normal", "thorough"):
        why = refusal(recipe("int8+zeros60"), EFFORTS[effort], SMALL, [], find_target("ethos-u55-128"))
        assert "does not run DENSIFY" in why.reason
    assert (
        refusal(recipe("int8+channels75"), EFFORTS["normal"], SMALL, [], find_target("ethos-u55-128")) is None
    )


@pytest.mark.parametrize(("flags", "tried"), [(["avx"], False), (["neon"], True)])
def test_zeros_are_no_gain_in_latency_where_the_runtime_does_not_skip_them(monkeypatch, flags, tried):
    monkeypatch.setattr(shrinking, "machine", lambda: {"flags": flags})
    why = refusal(recipe("weight8+zeros60"), EFFORTS["normal"], Budget(max_latency_ratio=0.5), [])
    assert (why is None) == tried
    assert tried or why.reason.startswith("No gain on this target: ")
    assert refusal(recipe("weight8+zeros60"), EFFORTS["normal"], SMALL, []) is None


def test_more_is_not_taken_where_less_lost_too_much():
    lost, kept = made("int8+channels75", drop=0.05), made("int8+channels75", drop=0.005)
    assert "less was taken" in refusal(recipe("int8+channels50"), EFFORTS["normal"], SMALL, [lost]).reason
    assert refusal(recipe("int8+channels50"), EFFORTS["normal"], SMALL, [kept]) is None
    assert refusal(recipe("weight8+channels50"), EFFORTS["normal"], SMALL, [lost]) is None, "another scheme"


def test_training_is_advised_where_nothing_fits():
    recipes, lost = [recipe("int8+channels50")], made("int8+channels50", drop=0.05)
    (note,) = training_notes(recipes, [lost], SMALL)
    assert "--pattern channel --macs 0.5" in note
    assert "finetune SMALL.tflite --teacher MODEL --scheme int8" in note
    assert not training_notes(recipes, [lost, made("int8", fits=True)], SMALL)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    names = ("int8", "weight4", "int8+clusters16", "weight8+zeros60", "int8+channels50")
    return folder, optimize(
        Job(
            model=MODEL, data="tightfit.demo:everything", output=folder, evaluation=200, calibration=60,
            budget=Budget(max_drop=0.06, max_size=110_000), recipes=names,
        )
    )  # fmt: skip


def named(report, name):
    return next(c for c in report[1].candidates if c.name == name)


def test_a_budget_that_only_a_pruned_model_meets_is_met(report):
    assert report[1].best == "int8+channels50"
    assert (report[0] / "best.tflite").stat().st_size <= 110_000
    assert not any(c.meets_budget for c in report[1].candidates if c.name != "int8+channels50")
    assert any("of the MACs" in step for step in named(report, "int8+channels50").steps)
    assert "int8+channels50" in (report[0] / "report.html").read_text()


def test_zeros_are_left_out_of_the_file(report):
    zeros = named(report, "weight8+zeros60")
    model = read_model(report[0] / zeros.path)
    assert any(t.sparsity is not None for t in model.main.tensors())
    assert any("stored without their zeros" in step for step in zeros.steps)


def test_clusters_make_the_packed_file_smaller_and_say_that_the_file_is_not(report):
    plain, clustered = named(report, "int8"), named(report, "int8+clusters16")
    assert clustered.compressed_bytes["zip"] < 0.8 * plain.compressed_bytes["zip"]
    assert clustered.size_bytes >= 0.98 * plain.size_bytes
    assert any("as large on disk" in step for step in clustered.steps)

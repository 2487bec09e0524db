"""The main job on the embedded demo: files, report, journal, budget, interruption."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tightfit.api.optimize import optimize
from tightfit.demo import MODEL
from tightfit.errors import DataError, OptionError, TightfitError
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.recovery.steps import RECOVERIES
from tightfit.report.text import render_text
from tightfit.search.candidates.candidate import Candidate, TargetVerdict
from tightfit.search.candidates.recipes import recipes
from tightfit.search.candidates.selection import Selection
from tightfit.search.job import Job, NullProgress
from tightfit.search.verdict.budget import Budget
from tightfit.search.verdict.gains import beyond_recovery

SPEC_KEYS = {
    "name", "scheme", "steps", "path", "size_bytes", "compressed_bytes", "peak_memory_bytes", "latency_ms",
    "latency_ratio", "accuracy", "drop", "drop_interval", "agreement", "targets", "meets_budget", "reasons",
}  # fmt: skip


def job(folder, **changes):
    settings = {
        "model": MODEL, "data": "tightfit.demo:evaluation", "output": folder, "evaluation": 60,
        "calibration": 20, "recipes": ("float16", "int8"),
    }  # fmt: skip
    return Job(**{**settings, **changes})


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    return folder, optimize(job(folder, budget=Budget(max_size=250_000)))


def test_the_report_has_what_the_interface_promises(result):
    folder, report = result
    plain = json.loads((folder / "report.json").read_text())
    assert {"model", "data", "machine", "budget", "candidates", "best", "pareto"} <= plain.keys()
    assert [c["name"] for c in plain["candidates"]] == ["float32", "float16", "int8"]
    for candidate in plain["candidates"]:
        assert candidate.keys() >= SPEC_KEYS
        assert (folder / candidate["path"]).stat().st_size == candidate["size_bytes"]
        assert 0.8 < candidate["accuracy"] <= 1.0
        assert candidate["latency_ratio"] > 0
        assert candidate["peak_memory_bytes"] > 10_000_000
        assert candidate["compressed_bytes"]["zip"] < candidate["size_bytes"]
    assert plain["best"] == report.best == "int8"
    assert report.meets_budget


def test_the_best_file_is_the_chosen_candidate(result):
    folder, report = result
    assert (folder / "best.tflite").read_bytes() == (folder / report.chosen.path).read_bytes()
    assert "<html" in (folder / "report.html").read_text()


def test_every_layer_has_an_error(result):
    _, report = result
    errors = {e.name: e.snr_db for e in report.chosen.layer_error}
    assert len(errors) >= 20
    assert min(errors.values()) > 5


def test_with_little_effort_only_the_chosen_layers_are_compared(tmp_path):
    report = optimize(job(tmp_path, recipes=("int8", "weight8"), effort="quick", evaluation=20))
    assert len(report.chosen.layer_error) >= 20
    assert not any(c.layer_error for c in report.candidates if c is not report.chosen)


def test_a_quick_search_measures_only_what_could_be_chosen(tmp_path):
    report = optimize(job(tmp_path, recipes=(), effort="quick", budget=Budget(max_drop=0.2)))
    left_out = [c for c in report.candidates if c.beaten_by is not None]
    assert left_out
    assert not {"int8-io-int8", "int8-io-uint8"} & {c.name for c in report.candidates}
    by_name = {c.name: c for c in report.candidates}
    for candidate in left_out:
        better = by_name[candidate.beaten_by]
        assert (candidate.accuracy, candidate.meets_budget, better.meets_budget) == (None, None, True)
        cost, least = (c.size_bytes * c.latency_ratio for c in (candidate, better))
        assert cost > least
    text = render_text(report)
    assert "Left out" in text
    assert f"{', '.join(c.name for c in left_out if c.beaten_by == report.best)}: {report.best} fits" in text
    again = optimize(job(tmp_path, recipes=sorted({c.name for c in report.candidates} - {"float32"})))
    assert not [c for c in again.candidates if c.accuracy is None], "those that are asked for are measured"


def test_what_a_quick_search_gave_up_is_measured_whole_with_more_effort(tmp_path):
    strict = Budget(max_drop=0.0)
    few = {"recipes": (), "effort": "quick", "budget": strict, "metric": "cosine"}
    given_up = [c for c in optimize(job(tmp_path, **few)).candidates if c.scored_samples is not None]
    assert given_up
    assert all("cannot bring it within the budget" in " ".join(c.steps) for c in given_up)
    name = next(c.name for c in given_up if c.name == c.scheme)
    again = optimize(job(tmp_path, recipes=(name,), metric="cosine")).candidates[1]
    assert again.scored_samples is None
    assert "cannot bring it" not in " ".join(again.steps)


def test_a_second_run_goes_on_where_the_first_ended(result):
    folder, report = result
    heard = []

    class Listening(NullProgress):
        def stage(self, name, total):  # noqa: ARG002 - the listener's signature
            heard.append(name)

    again = optimize(job(folder, budget=Budget(max_size=250_000)), Listening())
    assert not [name for name in heard if "int8" in name or "float16" in name]
    assert again.chosen.latency_ms == pytest.approx(report.chosen.latency_ms)


def test_a_changed_file_is_made_again(result):
    folder, _ = result
    path = folder / "candidates" / "int8.tflite"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\0")
    again = optimize(job(folder))
    assert path.stat().st_size == len(whole)
    assert again.chosen is not None


def test_a_bad_calibration_sample_is_told_and_nothing_is_written(tmp_path):
    images = np.zeros((30, 28, 28, 1), np.float32)
    images[::2, 3, 3] = np.inf  # whichever samples calibrate, some of them are bad
    np.savez(tmp_path / "bad.npz", x=images, y=np.arange(30) % 10)
    with pytest.raises(DataError, match="NaN or infinite in input 'image'"):
        optimize(job(tmp_path / "out", data=str(tmp_path / "bad.npz"), evaluation=None))
    assert not (tmp_path / "out").exists()


def test_an_interruption_loses_nothing(tmp_path):
    class Impatient(NullProgress):
        stopped = False

        def found(self, outcome):
            if len(outcome.candidates) == 2 and not self.stopped:
                self.stopped = True
                raise KeyboardInterrupt

    report = optimize(job(tmp_path), Impatient())
    assert not report.finished
    assert [c.name for c in report.candidates] == ["float32", "float16"]
    assert (tmp_path / "best.tflite").exists()
    assert json.loads((tmp_path / "report.json").read_text())["finished"] is False


def test_rounding_with_data_is_tried_when_the_budget_is_missed(tmp_path):
    report = optimize(job(tmp_path, recipes=("int8+gptq",), evaluation=20))
    assert "weights rounded with data" in report.candidates[1].steps


def test_the_report_tells_what_a_recovery_brought(tmp_path):
    report = optimize(job(tmp_path, recipes=("int8", "int8+gptq"), evaluation=20))
    plain, recovered = report.candidates[1:]
    assert not plain.gain
    assert recovered.gain["over"] == "int8"
    assert recovered.gain["agreement"] == pytest.approx(recovered.agreement - plain.agreement)
    assert recovered.gain["snr_db"] == pytest.approx(recovered.snr_db - plain.snr_db)
    assert any(step.startswith("beside int8: agreement with float") for step in recovered.steps)
    assert "int8+gptq: beside int8" in render_text(report, width=200)


def test_other_ends_are_no_recovery_and_stand_beside_their_twin(tmp_path):
    report = optimize(job(tmp_path, recipes=("int8", "int8-io-int8", "int16x8"), evaluation=20))
    assert [c.name for c in report.candidates[1:]] == ["int8", "int8-io-int8", "int16x8"]
    assert not any(c.gain for c in report.candidates)


def test_a_recovery_that_breaks_fails_its_candidate_and_not_the_search(tmp_path, monkeypatch):
    def broken(work):  # noqa: ARG001 - the signature of a step
        raise ValueError("an array of the wrong shape")

    monkeypatch.setitem(RECOVERIES, "gptq", replace(RECOVERIES["gptq"], run=broken))
    report = optimize(job(tmp_path, recipes=("int8+gptq", "int16x8"), evaluation=20))
    other, failed = report.candidates[1:]
    assert "ValueError: an array of the wrong shape" in failed.failure
    assert failed.path is None
    assert other.failure is None
    assert report.finished


def tried(tmp_path, effort, *, fits, budget=None, size=1_000_000, drop=0.0):
    """The candidates that a search tries where each of them fits the budget, or none does."""
    asked = job(tmp_path, recipes=(), effort=effort, budget=budget or Budget())
    selection, made, names = Selection(asked, None), [], []
    for recipe in recipes():
        if selection.wants(recipe, made):
            names.append(recipe.name)
            candidate = Candidate(
                recipe.name, recipe.scheme, ["made"], interface=recipe.interface, size_bytes=size, drop=drop,
                meets_budget=fits,
            )  # fmt: skip
            made.append(candidate)
    return names


def test_recoveries_are_tried_by_effort_and_while_the_budget_is_missed(tmp_path):
    enough = tried(tmp_path, "normal", fits=True)
    assert not [n for n in enough if "+" in n]
    quick, normal = tried(tmp_path, "quick", fits=False), tried(tmp_path, "normal", fits=False)
    assert {"int8+bias", "int8+gptq"} <= set(quick)
    assert set(quick) < set(normal)
    assert "int8x4+recovery" in normal
    assert set(tried(tmp_path, "thorough", fits=True)) == {r.name for r in recipes() if r.shrink is None}


def test_other_ends_are_not_tried_where_the_values_inside_lose_too_much(tmp_path):
    strict = Budget(max_drop=0.01)
    ends = {"int8-io-int8", "int8-io-uint8"}
    assert ends <= set(tried(tmp_path, "normal", fits=False, budget=strict))
    assert not ends & set(tried(tmp_path, "normal", fits=False, budget=strict, drop=0.02))
    assert not ends & set(tried(tmp_path, "quick", fits=False, budget=strict))
    assert ends <= set(tried(tmp_path, "thorough", fits=False, budget=strict, drop=0.02))


def test_no_recovery_is_tried_for_a_size_that_it_cannot_change(tmp_path):
    tight, loose = Budget(max_size=900_000), Budget(max_size=1_000_000)
    assert "int8+gptq" in tried(tmp_path, "normal", fits=False, budget=loose)
    names = tried(tmp_path, "normal", fits=False, budget=tight)
    recoveries = {r.name for r in recipes() if r.recovery and not r.shrink}
    assert [n for n in names if n in recoveries] == ["int8x4+recovery"], "it has no plain twin"
    assert "int8+gptq" in tried(tmp_path, "thorough", fits=False, budget=tight)


@pytest.mark.parametrize(
    ("budget", "facts", "hopeless"),
    [
        (Budget(max_latency_ratio=0.5), {"latency_ratio": 0.6, "latency_interval": (0.55, 0.65)}, True),
        (Budget(max_latency_ratio=0.5), {"latency_ratio": 0.52, "latency_interval": (0.48, 0.6)}, False),
        (
            Budget(max_latency=5.0),
            {"latency_ms": 6.0, "latency_ratio": 0.6, "latency_interval": (0.55, 0.7)},
            True,
        ),
        (
            Budget(max_latency=5.6),
            {"latency_ms": 6.0, "latency_ratio": 0.6, "latency_interval": (0.55, 0.7)},
            False,
        ),
        (Budget(target="npu"), {"targets": {"npu": TargetVerdict(fits=False)}}, True),
        (Budget(target="npu"), {"targets": {"npu": TargetVerdict(fits=True)}}, False),
        (Budget(max_drop=0.01), {"drop": 0.2}, False),
    ],
)
def test_recovery_changes_no_latency_and_no_verdict_of_a_target(budget, facts, hopeless):
    plain = Candidate("int8", "int8", ["made"], **facts)
    assert (beyond_recovery([plain], budget) is not None) == hopeless


KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
import test_run, os, signal
class Deadly(test_run.NullProgress):
    def found(self, outcome):
        if len(outcome.candidates) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
test_run.optimize(test_run.job(__import__("pathlib").Path(sys.argv[1]), **test_run.THOROUGH), Deadly())
"""
THOROUGH = {"recipes": ("int8", "int8+gptq", "int8x4+recovery"), "effort": "thorough", "evaluation": 20}


def test_a_killed_thorough_run_goes_on_where_it_was(tmp_path):
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), here], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "best.tflite").exists()
    heard = []

    class Listening(NullProgress):
        def stage(self, name, total):  # noqa: ARG002 - the listener's signature
            heard.append(name)

    report = optimize(job(tmp_path, **THOROUGH), Listening())
    assert report.finished
    assert [c.name for c in report.candidates] == ["float32", *THOROUGH["recipes"]]
    assert not any(name.startswith("int8: ") for name in heard), "what was finished is not made again"
    assert any(name.startswith("int8x4+recovery: ") for name in heard)


def test_a_search_that_cannot_begin_leaves_nothing(tmp_path):
    folder = tmp_path / "new"
    with pytest.raises(TightfitError):
        optimize(job(folder, data="tightfit.demo:calibration", metric="nope"))
    assert not folder.exists()


def test_the_command_ends_with_one_when_nothing_fits(tmp_path):
    words = ["optimize", str(MODEL), "--data", "tightfit.demo:evaluation", "--evaluation", "20",
             "--calibration", "10", "--only", "float16", "--max-size", "1kB", "-o", str(tmp_path),
             "--json"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tightfit", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["best"] == "float16"
    assert (tmp_path / "best.tflite").exists()


def test_no_recovery_is_tried_of_what_could_not_be_chosen_anyway(tmp_path):
    selection = Selection(job(tmp_path, recipes=(), effort="quick", budget=Budget(max_drop=0.01)), None)
    fits = Candidate("int8", "int8", ["made"], size_bytes=5, latency_ratio=0.9, drop=0.0, meets_budget=True)
    left_out = Candidate("weight8", "weight8", ["made"], size_bytes=5, latency_ratio=0.95, beaten_by="int8")
    recipe = next(r for r in recipes() if r.name == "weight8+gptq")
    assert not selection.wants(recipe, [fits, left_out])
    assert "int8 meets the budget and is preferred" in selection.notes()[0]
    left_out, fits = replace(left_out, beaten_by=None, meets_budget=False), replace(fits, latency_ratio=1.0)
    assert selection.wants(recipe, [fits, left_out])


def test_a_recipe_goes_on_from_the_recoveries_of_the_one_before(tmp_path, monkeypatch):
    runs = []
    for name, row in RECOVERIES.items():
        run = lambda state, name=name, run=row.run: (runs.append(name), run(state))  # noqa: E731 - bound here
        monkeypatch.setitem(RECOVERIES, name, replace(row, run=run))
    asked = {"evaluation": 20, "provenance": False}
    both = optimize(job(tmp_path / "both", recipes=("int8x4+recovery", "int8x4+reconstruction"), **asked))
    assert runs == ["attention-mask-clipping", "mixed-precision", "gptq", "block-reconstruction"]
    alone = optimize(job(tmp_path / "alone", recipes=("int8x4+reconstruction",), **asked))
    assert both.candidates[2].sha256 == alone.candidates[1].sha256


def test_mixed_precision_keeps_to_the_size_with_all_that_goes_into_the_file(tmp_path):
    sizes = [165_000]
    for i in range(2):  # the second limit is a byte too small for what the first one gave
        asked = {"recipes": ("int8x4+recovery",), "evaluation": 20, "budget": Budget(max_size=sizes[-1] - i)}
        mixed = optimize(job(tmp_path / str(i), **asked)).candidates[1]
        assert any("keep int8 weights" in step for step in mixed.steps)
        assert mixed.size_bytes <= sizes[-1] - i
        sizes.append(mixed.size_bytes)


def test_every_candidate_is_tried_or_has_a_reason(result):
    _, report = result
    listed = [name for names in report.not_tried.values() for name in names]
    assert sorted([*listed, "float16", "int8"]) == sorted(recipe.name for recipe in recipes())
    assert all(report.not_tried)


def test_the_percentiles_of_the_latency_are_in_order(result):
    _, report = result
    for candidate in report.candidates:
        times = list(candidate.latency_percentiles.values())
        assert len(times) == 7
        assert times == sorted(times)


def test_a_folder_of_another_models_search_is_refused_also_where_nothing_was_tried(tmp_path):
    folder = tmp_path / "out"
    assert optimize(job(folder, budget=Budget(minutes=1e-9))).tried == 0
    model, other = read_model(MODEL), tmp_path / "other.tflite"
    model.description = "retrained"
    write_model(model, other)
    with pytest.raises(OptionError, match="holds the search of another model"):
        optimize(job(folder, model=other))

"""The main job on the embedded demo: files, report, journal, budget, interruption."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tightfit.demo import MODEL
from tightfit.errors import DataError, TightfitError
from tightfit.search.budget import Budget
from tightfit.search.job import Job
from tightfit.verbs import Quiet, optimize

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


def test_a_second_run_goes_on_where_the_first_ended(result):
    folder, report = result
    heard = []

    class Listening(Quiet):
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
    class Impatient(Quiet):
        def found(self, outcome):
            if len(outcome.candidates) == 2 and not outcome.notes:
                raise KeyboardInterrupt

    report = optimize(job(tmp_path), Impatient())
    assert not report.finished
    assert [c.name for c in report.candidates] == ["float32", "float16"]
    assert (tmp_path / "best.tflite").exists()
    assert json.loads((tmp_path / "report.json").read_text())["finished"] is False


def test_rounding_with_data_is_tried_when_the_budget_is_missed(tmp_path):
    report = optimize(job(tmp_path, recipes=("int8+rounding",), evaluation=20))
    assert "weights rounded with data" in report.candidates[1].steps


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

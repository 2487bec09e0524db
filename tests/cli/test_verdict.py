"""What commands say of accuracy: what a verdict rests on, in which unit, and by which exit code."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from support.linear_models import linear_model, two_output_model
from tightfit.demo import MODEL
from tightfit.errors import RuntimeFailureError
from tightfit.pipeline.builder import Builder

IMAGES = "tightfit.demo:evaluation"
RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(5, 8)).astype(np.float32)
X = RANDOM.normal(size=(60, 8)).astype(np.float32)


def few(folder, *more):
    return ("optimize", MODEL, "--data", IMAGES, "--only", "weight8", "--evaluation", 20, "-o", folder, *more)


def test_few_samples_are_no_evidence_and_the_estimate_may_be_asked_for(call_unwrapped, tmp_path):
    code, out, _ = call_unwrapped(*few(tmp_path / "a"))
    assert code == 1
    assert "weight8 may fit, but the samples are too few to say so." in out
    assert "Not enough evidence: n = 20, ±16 points; 381 samples would do." in out
    assert "best.tflite is the best guess;" in out
    plain = json.loads((tmp_path / "a" / "report.json").read_text())
    weight8 = plain["candidates"][1]
    assert weight8["meets_budget"] is None
    assert weight8["metrics"]["top1"].keys() >= {"value", "change", "interval", "n"}
    assert weight8["evidence"]["limits"]["top1"]["needed"] == 381
    code, out, _ = call_unwrapped(*few(tmp_path / "a"), "--judge", "estimate")
    assert code == 0
    assert "weight8 fits." in out
    assert "is the file that ships, by the estimates;" in out


def test_nothing_tried_is_not_the_original_being_best(call_unwrapped, tmp_path):
    code, out, _ = call_unwrapped(*few(tmp_path / "a", "--minutes", "0.00001"))
    assert code == 1
    assert "Nothing was tried. The 1e-05 minutes were over before the first candidate; give more time." in out
    assert "best as it is" not in out
    assert "proves it" not in out


@pytest.mark.parametrize(
    ("option", "value", "phrase"),
    [
        ("--layout", "gpu", "Unknown layout 'gpu'"),
        ("--observer", "foo", "Unknown observer 'foo'"),
        ("--minutes", "0", "minutes is 0.0; expected a number above 0"),
        ("--metric", "acuracy", "Unknown metric 'acuracy'"),
        ("--max-drop", "map50=lots", "Received the limit 'lots' for map50"),
        ("--max-drop", "5", "expected a fraction, 0 to 1"),
    ],
)
def test_a_wrong_option_ends_before_anything_runs(call_unwrapped, tmp_path, option, value, phrase):
    code, out, err = call_unwrapped(*few(tmp_path / "a", option, value))
    assert (code, out) == (2, "")
    assert phrase in err
    assert not (tmp_path / "a").exists()


def test_a_wrong_option_is_refused_before_frameworks_load(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"PK")
    code = (
        "import sys\n"
        "words = 'tightfit optimize model.keras --data x.npz -o out --layout gpu'\n"
        "sys.argv = words.split()\n"
        "from tightfit.cli.app import run\n"
        "try:\n    run()\n"
        "except SystemExit as end:\n"
        "    slow = ('keras', 'jax', 'ai_edge_litert.interpreter', 'torch')\n"
        "    heavy = [m for m in sys.modules if m in slow]\n"
        "    print(end.code, heavy)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.stdout == "2 []\n"
    assert "Unknown layout 'gpu'" in result.stderr


def test_labels_named_after_outputs_are_measured_and_others_noted(call_unwrapped, tmp_path):
    (tmp_path / "m.tflite").write_bytes(two_output_model(WEIGHTS, -WEIGHTS))
    first = (X @ WEIGHTS.T).argmax(axis=1)
    np.savez(tmp_path / "d.npz", x=X, first=first, second=-X @ WEIGHTS.T + 2, ids=np.arange(60))
    code, out, _ = call_unwrapped("evaluate", tmp_path / "m.tflite", "--data", tmp_path / "d.npz")
    assert code == 0
    assert "top1@first" in out
    assert "mae@second" in out
    assert "100.0 %" in out
    assert "'ids' of 'd.npz' is not used" in out
    _, out, _ = call_unwrapped("evaluate", tmp_path / "m.tflite", "--data", tmp_path / "d.npz", "--json")
    metrics = json.loads(out)[0]["metrics"]
    assert metrics["top1@first"]["value"] == 1
    assert metrics["mae@second"]["value"] == pytest.approx(2, abs=1e-5)


def test_an_error_is_printed_in_its_own_unit_and_negative_is_worse(call_unwrapped, tmp_path):
    (tmp_path / "a.tflite").write_bytes(linear_model(WEIGHTS))
    (tmp_path / "b.tflite").write_bytes(linear_model(WEIGHTS, bias=[0.5] * 5))
    np.savez(tmp_path / "d.npz", x=X, y=X @ WEIGHTS.T)
    _, out, _ = call_unwrapped(
        "evaluate", tmp_path / "a.tflite", tmp_path / "b.tflite", "--data", tmp_path / "d.npz"
    )
    assert "−0.50" in out
    assert "%" not in out.replace("95 %", "")


def test_several_metrics_run_at_once(call_unwrapped, tmp_path):
    (tmp_path / "a.tflite").write_bytes(linear_model(WEIGHTS, "SOFTMAX"))
    np.savez(tmp_path / "d.npz", x=X, y=(X @ WEIGHTS.T).argmax(axis=1))
    data = ("--data", tmp_path / "d.npz")
    _, out, _ = call_unwrapped(
        "evaluate", tmp_path / "a.tflite", *data, "--metric", "f1(micro),auc,top5", "--json"
    )
    found = {name: m["value"] for name, m in json.loads(out)[0]["metrics"].items()}
    assert list(found) == ["f1", "auc", "top5"]
    assert found["f1"] == found["top5"] == 1
    assert 0.9 < found["auc"] < 1


def test_prune_measures_by_labels_and_says_when_a_file_is_ruined(call_unwrapped, tmp_path):
    options = ("--data", IMAGES, "--calibration", 20)
    code, out, _ = call_unwrapped("prune", MODEL, "--sparsity", 0.99, *options, "-o", tmp_path / "p.tflite")
    assert code == 1
    assert "accuracy: 92." in out or "accuracy: 93." in out
    assert "The file is ruined: accuracy 9" in out


def test_prune_and_cluster_measure_the_metrics_that_are_named(call_unwrapped, tmp_path):
    options = ("--data", IMAGES, "--calibration", 20, "--metric", "f1(micro),top5")
    code, out, _ = call_unwrapped("cluster", MODEL, "--clusters", 64, *options, "-o", tmp_path / "c.tflite")
    assert code == 0
    assert "F1: 9" in out
    assert "top-5 accuracy: 9" in out or "top-5 accuracy: 100" in out
    lost = ("--data", IMAGES, "--metric", "nosuch.module:f", "-o", tmp_path / "x.tflite")
    code, _, err = call_unwrapped("cluster", MODEL, "--clusters", 8, *lost)
    assert code == 2
    assert "cannot be imported" in err
    assert not (tmp_path / "x.tflite").exists()
    for verb in (("prune", "--sparsity", 0.5), ("cluster", "--clusters", 8)):
        wrong = ("--metric", "acuracy", "-o", tmp_path / "x.tflite")
        code, out, err = call_unwrapped(verb[0], MODEL, *verb[1:], *wrong)
        assert (code, out) == (2, "")
        assert "Unknown metric 'acuracy'" in err


def test_a_search_of_which_everything_fails_ends_with_one(call_unwrapped, tmp_path, monkeypatch):
    def fail(*_a, **_k):
        raise RuntimeFailureError("LiteRT refused the file.")

    monkeypatch.setattr(Builder, "write", fail)
    code, out, _ = call_unwrapped(*few(tmp_path / "a"))
    assert code == 1
    assert "Every candidate failed; the original stays. LiteRT refused the file." in out
    assert "best.tflite is the original; " in out

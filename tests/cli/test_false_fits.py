"""Files that one number over all outputs calls good: each is refused, mended or named, by its exit code."""

from __future__ import annotations

import json

import numpy as np
import pytest

from support.head_models import HeadPart, head_model, images
from support.models import Builder
from tightfit.conversion.exporting import ExportProbe
from tightfit.conversion.source_comparison import broken_notes, compare
from tightfit.demo import MODEL, evaluation
from tightfit.graph.signatures import input_names, output_names
from tightfit.graph.writer import write_model


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """Boxes in pixels beside class scores in one output, and images."""
    folder = tmp_path_factory.mktemp("detector")
    write_model(
        head_model([HeadPart(4, "LOGISTIC", 640.0), HeadPart(3, "LOGISTIC", bias=-3.0)]), folder / "m.tflite"
    )
    np.savez(folder / "x.npz", x=np.concatenate([next(iter(s.values())) for s in images(48)()]))
    return folder


def test_a_detector_whose_scores_are_dead_is_unfit_by_name_and_mended_by_default(call_unwrapped, detector):
    options = ("int8", "--data", detector / "x.npz")
    code, out, _ = call_unwrapped(
        "quantize", detector / "m.tflite", *options, "--effort", 0, "-o", detector / "p.tflite"
    )
    assert code == 1
    assert "is of no use in" in out
    assert "one value, 0, float 0.0" in out
    code, out, _ = call_unwrapped("quantize", detector / "m.tflite", *options, "-o", detector / "o.tflite")
    assert code == 0
    assert "of no use" not in out
    assert "on 48 samples" in out
    data = ("--data", detector / "x.npz")
    code, out, _ = call_unwrapped("diff", detector / "m.tflite", detector / "p.tflite", *data)
    assert code == 1
    assert "of no use" in out
    code, out, _ = call_unwrapped("verify", detector / "p.tflite")
    assert "when it was written: worst slice" in out


def test_a_model_of_nan_is_refused_and_never_said_to_be_equal(call_unwrapped, tmp_path):
    b = Builder(seed=1)
    x = b.input("x", [1, 8])
    write_model(b.model(b.dense(b.op("LOG", [x], x.shape), 4)), tmp_path / "log.tflite")
    np.savez(tmp_path / "x.npz", x=-np.abs(np.random.default_rng(0).normal(size=(40, 8))).astype("f") - 0.1)
    for scheme in ("weight8", "int8"):
        words = ("quantize", tmp_path / "log.tflite", scheme, "--data", tmp_path / "x.npz")
        code, out, err = call_unwrapped(*words, "-o", tmp_path / "o.tflite")
        assert (code, out) == (2, "")
        assert "answers NaN or infinity everywhere in output" in err
        assert not (tmp_path / "o.tflite").exists()


@pytest.mark.parametrize("words", [("prune", "--sparsity", 0.5), ("cluster", "--clusters", 8)])
def test_a_weight_of_nan_is_refused_by_name(call_unwrapped, tmp_path, words):
    b = Builder(seed=2)
    model = b.model(b.dense(b.input("x", [1, 32]), 64))
    model.main.ops[0].inputs[1].data = np.where(np.arange(2048).reshape(64, 32) == 70, np.nan, 1).astype("f")
    write_model(model, tmp_path / "m.tflite")
    code, _, err = call_unwrapped(words[0], tmp_path / "m.tflite", *words[1:], "-o", tmp_path / "o.tflite")
    assert code == 2
    assert "holds NaN or infinity in 1 of 2,048 values" in err


def test_a_conversion_of_a_model_of_nan_says_that_nothing_was_compared(tmp_path):
    b = Builder(seed=3)
    x = b.input("x", [1, 8])
    model = b.model(b.op("LOG", [x], x.shape))
    write_model(model, tmp_path / "m.tflite")
    (name,), (end,) = input_names(model), output_names(model)
    probe = ExportProbe({name: np.full((1, 8), -1, np.float32)}, {end: np.full((1, 8), np.nan, np.float32)})
    (row,) = compare(tmp_path / "m.tflite", model, [probe])
    assert row.finite == 0
    assert "not compared" in str(row)
    assert "NaN or infinity in 100.0 %" in broken_notes([row])[0]


def test_the_headline_is_that_of_the_worst_output(call_unwrapped, tmp_path):
    """A mask beside a loud state: all power together hides the mask."""
    b = Builder(seed=4)
    x = b.input("x", [1, 16])
    mask, state = b.op("LOGISTIC", [b.dense(x, 4)], [1, 4]), b.dense(b.dense(x, 32), 24)
    weights = state.producer.inputs[1]
    weights.data = np.asarray(weights.data * 100, np.float32)
    write_model(b.model(mask, state), tmp_path / "m.tflite")
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(1).normal(size=(40, 16)).astype("f") * 0.02)
    words = ("quantize", tmp_path / "m.tflite", "int8", "--data", tmp_path / "x.npz", "--effort", 0)
    code, out, _ = call_unwrapped(*words, "-o", tmp_path / "o.tflite")
    assert "worst slice" in out
    assert "of output" in out.partition("worst slice")[2]
    worst = float(out.partition("axis 1) of output")[2].partition(": ")[2].split(" dB")[0])
    assert 10 < worst < 20
    assert code == 1
    assert "unfit: output" in out
    assert "is weak in" in out
    for verb in (
        ("verify", tmp_path / "o.tflite"),
        ("diff", tmp_path / "m.tflite", tmp_path / "o.tflite", *words[3:5]),
        ("evaluate", tmp_path / "m.tflite", tmp_path / "o.tflite", *words[3:5]),
        ("explain", tmp_path / "m.tflite", tmp_path / "o.tflite", *words[3:5], "--no-remedies"),
    ):
        _, said, _ = call_unwrapped(*verb)
        assert "is weak in" in said, verb[0]
    code, out, _ = call_unwrapped(*words, "-o", tmp_path / "o.tflite", "--json")
    facts = json.loads(out)
    assert [s for s in facts["unfit"] if "is weak in" in s]
    assert [o for o in facts["outputs"] if "is weak in" in o.get("weak", "")]
    assert [n for n in facts["notes"] if n.startswith("unfit: ")]


def test_a_classifier_pruned_to_a_constant_is_ruined_without_labels(call_unwrapped, tmp_path):
    x = np.stack([np.asarray(image) for image, _ in evaluation()][:80])
    np.savez(tmp_path / "x.npz", x=x)
    options = ("--data", tmp_path / "x.npz", "--calibration", 20, "-o", tmp_path / "o.tflite")
    code, out, _ = call_unwrapped("prune", MODEL, "--sparsity", 0.995, *options)
    assert code == 1
    assert "The file is ruined: agreement with the original" in out or "ruined: output" in out
    assert "on 60 samples" in out

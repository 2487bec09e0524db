"""The command line: exit codes, one sentence for bad input, nothing half written."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tightfit.demo import MODEL

IMAGES = "tightfit.demo:evaluation"


def refused(result, *phrases):
    code, out, err = result
    assert code == 2
    assert not out
    lines = [line for line in err.splitlines() if line.startswith("tightfit: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    for phrase in phrases:
        assert phrase in lines[0]


def test_inspect_tells_inputs_ops_and_size(call):
    code, out, _ = call("inspect", MODEL, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["scheme"] == "float32"
    assert facts["op_counts"]["DEPTHWISE_CONV_2D"] == 8
    code, out, _ = call("inspect", MODEL)
    assert code == 0
    assert "DEPTHWISE_CONV_2D" in out


def test_inspect_shows_the_groups_of_channels_and_why_some_stay(call):
    code, out, _ = call("inspect", MODEL, "--groups", "--json")
    groups = json.loads(out)["channel_groups"]
    assert code == 0
    assert [g["channels"] for g in groups] == [32, 48, 64, 96, 192, 256, 10]
    code, out, _ = call("inspect", MODEL, "--groups")
    assert code == 0
    assert "is kept: SOFTMAX" in out


@pytest.mark.parametrize("scheme", ["float16", "weight8", "dynamic"])
def test_quantize_needs_no_data_for_these(call, tmp_path, scheme):
    code, out, _ = call("quantize", MODEL, scheme, "-o", tmp_path / "q.tflite", "--json")
    facts = json.loads(out)
    assert code == 0
    assert (tmp_path / "q.tflite").stat().st_size == facts["size_bytes"]
    assert facts["size_ratio"] < 0.56


def test_quantize_int8_writes_the_plan_and_honours_overrides(call, tmp_path):
    output, plan = tmp_path / "q.tflite", tmp_path / "plan.json"
    code, out, _ = call(
        "quantize", MODEL, "int8", "--data", IMAGES, "--calibration", 20, "--io", "uint8",
        "--override", "SOFTMAX=float", "--plan", plan, "-o", output, "--json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["ops"]["float"] == 1
    assert json.loads(plan.read_text())["scheme"]["interface"] == "uint8"


def test_evaluate_and_benchmark_compare_with_the_first(call, tmp_path):
    half = tmp_path / "half.tflite"
    call("quantize", MODEL, "float16", "-o", half)
    code, out, _ = call("evaluate", MODEL, half, "--data", IMAGES, "--limit", 60, "--json")
    first, second = json.loads(out)
    assert code == 0
    assert first["n"] == second["n"] == 60
    assert second["agreement"] >= 0.98
    code, out, _ = call("benchmark", MODEL, half, "--rounds", 6, "--seconds", 1, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["machine"]["cores"] >= 1
    assert facts["models"][0]["latency"]["ratio"] == 1.0
    assert facts["models"][1]["latency"]["median_ms"] > 0


def test_a_model_that_is_none_is_refused(call, tmp_path):
    text = tmp_path / "x.tflite"
    text.write_text("hello, I am no model")
    refused(call("inspect", text), "TFL3")
    refused(call("quantize", text, "float16", "-o", tmp_path / "q.tflite"), "TFL3")
    refused(call("inspect", tmp_path / "missing.tflite"), "missing.tflite")
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(MODEL.read_bytes()[:200_000])
    refused(call("inspect", cut), "cut.tflite")
    assert not (tmp_path / "q.tflite").exists()


def test_unknown_words_name_the_closest(call, tmp_path):
    refused(call("quantize", MODEL, "int7", "-o", tmp_path / "q"), "'int8'")
    refused(call("quantize", MODEL, "float16", "--layout", "npo", "-o", tmp_path / "q"), "'npu'")
    words = ("quantize", MODEL, "int8", "--data", IMAGES, "--override", "NOPE=float", "-o", tmp_path / "q")
    refused(call(*words), "NOPE")
    refused(call("optimize", MODEL, "--data", IMAGES, "--only", "int9", "-o", tmp_path / "o"), "int8")


def test_percent_is_not_taken_for_a_fraction(call, tmp_path):
    result = call("optimize", MODEL, "--data", IMAGES, "--max-drop", "1", "-o", tmp_path / "o")
    refused(result, "0.01")


BAD_ARRAYS = {
    "nan": ({"x": np.full((20, 28, 28, 1), np.nan, np.float32)}, "NaN"),
    "infinite": ({"x": np.full((20, 28, 28, 1), np.inf, np.float32)}, "infinite"),
    "shape": ({"x": np.zeros((20, 32, 32, 3), np.float32)}, "28x28x1"),
    "dtype": ({"x": np.zeros((20, 28, 28, 1), np.complex64)}, "complex"),
    "one sample": ({"x": np.zeros((1, 28, 28, 1), np.float32)}, "1 sample"),
    "pickled": ({"x": np.array([{"a": 1}] * 20, object)}, "pickle"),
}


@pytest.mark.parametrize(("arrays", "phrase"), BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_bad_data_is_refused_and_nothing_is_left(call, tmp_path, arrays, phrase):
    data = tmp_path / "bad.npz"
    np.savez(data, allow_pickle=True, **arrays)
    refused(call("quantize", MODEL, "int8", "--data", data, "-o", tmp_path / "q.tflite"), phrase)
    refused(call("optimize", MODEL, "--data", data, "-o", tmp_path / "out"), phrase)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.npz"]


def test_labels_that_do_not_match_the_outputs_are_refused(call, tmp_path):
    x = np.random.default_rng(0).random((60, 28, 28, 1), np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(60))
    refused(call("optimize", MODEL, "--data", tmp_path / "d.npz", "-o", tmp_path / "o"), "labels")


def test_missing_data_is_named(call, tmp_path):
    refused(call("quantize", MODEL, "int8", "-o", tmp_path / "q.tflite"), "sample")
    refused(call("optimize", MODEL, "--data", tmp_path / "no.npz", "-o", tmp_path / "o"), "no.npz")
    (tmp_path / "empty").mkdir()
    result = call("optimize", MODEL, "--data", tmp_path / "empty", "--image", "size=28", "-o", tmp_path / "o")
    refused(result, "images")


def test_a_quantized_model_says_what_it_starts_from(call, tmp_path):
    first = tmp_path / "q.tflite"
    call("quantize", MODEL, "int8", "--data", IMAGES, "--calibration", 10, "-o", first)
    code, out, _ = call("quantize", first, "int8", "--data", IMAGES, "-o", tmp_path / "again.tflite")
    assert code == 0
    assert "The source is quantized (int8)" in out
    assert "Ranges of activations come from the data given" in out


def test_the_model_itself_is_never_overwritten(call, tmp_path):
    copy = tmp_path / "m.tflite"
    copy.write_bytes(MODEL.read_bytes())
    refused(call("quantize", copy, "float16", "-o", copy), "never changed")
    assert copy.read_bytes() == MODEL.read_bytes()


def test_a_place_that_cannot_be_written_is_named(call, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    refused(call("quantize", MODEL, "float16", "-o", tmp_path / "file" / "q.tflite"), "q.tflite")
    refused(call("optimize", MODEL, "--data", IMAGES, "-o", tmp_path / "file"), "file")


def test_quantize_recovers_with_samples(call, tmp_path):
    out_file = tmp_path / "q.tflite"
    common = ("quantize", MODEL, "int8x4", "-o", out_file, "--json")
    code, out, _ = call(*common, "--data", IMAGES, "--calibration", 24, "--recover", "gptq")
    assert code == 0
    assert json.loads(out)["notes"] == ["weights rounded with data"]
    refused(call(*common, "--recover", "gptq"), "gptq", "pass --data")
    refused(call(*common, "--data", IMAGES, "--recover", "gptx"), "gptx", "Did you mean 'gptq'?")


def test_idle_threads_of_numpy_do_not_spin():
    code = (
        "import os, sys; from tightfit.cli import main; assert 'numpy' not in sys.modules\n"
        "sys.argv = ['tightfit', '--version']\n"
        "try: main()\n"
        "finally: print(os.environ['OPENBLAS_THREAD_TIMEOUT'])"
    )
    plain = {k: v for k, v in os.environ.items() if k != "OPENBLAS_THREAD_TIMEOUT"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=plain, check=False
    )
    assert done.stdout.split()[-1] == "10"

"""The commands verify and diff, as a shell sees them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tightfit.api.quantize import quantize
from tightfit.cli.verify import diff, verify
from tightfit.demo import MODEL
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model

DATA = "tightfit.demo:calibration"


def run(command, *words):
    result = CliRunner().invoke(
        command, [str(w) for w in words], standalone_mode=False, catch_exceptions=False
    )
    return result.return_value, result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "int8.tflite"
    quantize(MODEL, "int8", path, data=DATA, calibration=8, overrides=[("SOFTMAX", "float")])
    return path


def test_verify_says_equal_and_how_the_file_was_made(made):
    code, output = run(verify, made)
    assert code == 0
    assert f"{made}: equal" in output
    assert "made of model.tflite (int8) with tightfit" in output


def test_verify_gives_nothing_but_json_and_tells_the_data(made):
    code, output = run(verify, made, "--data", DATA, "--json")
    found = json.loads(output)
    assert code == 0
    assert found["equal"]
    assert found["data_matches"]
    assert found["made_with"]["overrides"] == [["SOFTMAX", "float"]]
    assert found["made_with"]["data"]["calibration_samples"] == 8


def test_verify_ends_with_1_for_other_data_and_for_a_changed_model(made, tmp_path):
    assert run(verify, made, "--data", "tightfit.demo:evaluation")[0] == 1
    model = read_model(made)
    bias = next(op for op in model.main.ops if op.kind == "FULLY_CONNECTED").inputs[2]
    bias.data = bias.data[::-1].copy()
    write_model(model, tmp_path / "changed.tflite")
    code, output = run(verify, tmp_path / "changed.tflite")
    assert code == 1
    assert "steps" in output


def test_diff_of_a_file_and_itself(made):
    code, output = run(diff, made, made)
    assert code == 0
    assert output.rstrip().endswith("equal")


def test_diff_gives_nothing_but_json(made):
    code, output = run(diff, MODEL, made, "--data", "tightfit.demo:evaluation", "--limit", "5", "--json")
    found = json.loads(output)
    assert code == 1
    assert found["samples"] == 5
    assert found["sizes"]["file_bytes"][0] > found["sizes"]["file_bytes"][1]
    assert found["outputs"][0]["decisions"] > 0.5


def test_provenance_can_be_left_out(tmp_path):
    quantize(MODEL, "float16", tmp_path / "a.tflite", provenance=False)
    quantize(MODEL, "float16", tmp_path / "b.tflite")
    sizes = [(tmp_path / n).stat().st_size for n in ("a.tflite", "b.tflite")]
    assert "tightfit.provenance" not in read_model(tmp_path / "a.tflite").metadata
    assert 0 < sizes[1] - sizes[0] <= max(0.01 * sizes[0], 1024) + 256

"""The commands check, advise and models, as a shell sees them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from support.integer_models import conv, unary, with_float_ends
from tightfit.cli.check import advise, check, models
from tightfit.cli.quantize import quantize
from tightfit.demo import MODEL
from tightfit.errors import OptionError
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model


def run(command, *words):
    result = CliRunner().invoke(command, list(words), standalone_mode=False, catch_exceptions=False)
    return result.return_value, result.output


@pytest.fixture
def float_ends(tmp_path):
    write_model(with_float_ends(conv()), tmp_path / "model.tflite")
    return str(tmp_path / "model.tflite")


def test_check_tells_what_falls_back_and_why(float_ends):
    code, output = run(check, float_ends, "--target", "ethos-u55-128", "--no-compile")
    assert code == 0
    assert "accelerates 100.0 % of the multiply–accumulates" in output
    assert "DEQUANTIZE" in output


def test_check_gives_nothing_but_json(float_ends):
    code, output = run(check, float_ends, "--target", "edge-tpu", "--no-compile", "--json")
    assert code == 0
    found = json.loads(output)
    assert found["accelerated_share"] == 1.0
    assert [f["kind"] for f in found["fallbacks"]] == ["QUANTIZE", "DEQUANTIZE"]


def test_check_writes_the_fixed_model(float_ends, tmp_path):
    code, output = run(
        check,
        float_ends,
        "--target",
        "ethos-u55-128",
        "--no-compile",
        "--fix",
        "-o",
        str(tmp_path / "fixed.tflite"),
    )
    assert code == 0
    assert "integer-interface" in output
    assert [op.kind for op in read_model(tmp_path / "fixed.tflite").main.ops] == ["CONV_2D"]


def test_a_fixed_model_is_compared_with_the_original_on_litert(float_ends, tmp_path):
    words = (
        "--target",
        "ethos-u55-128",
        "--no-compile",
        "--fix",
        "-o",
        str(tmp_path / "fixed.tflite"),
        "--json",
    )
    code, output = run(check, float_ends, *words)
    found = json.loads(output)
    assert code == 0
    assert [f["kind"] for f in found["before"]["fallbacks"]] == ["QUANTIZE", "DEQUANTIZE"]
    assert found["fallbacks"] == []
    assert [o["equal"] for o in found["answers"]] == [True]


def test_a_model_is_not_overwritten_by_its_fix(float_ends):
    with pytest.raises(OptionError, match="is the model itself, which is never changed"):
        run(check, float_ends, "--target", "ethos-u55-128", "--fix", "-o", float_ends)


def test_check_ends_with_1_where_the_target_cannot_run_the_model(tmp_path):
    write_model(unary("GELU"), tmp_path / "gelu.tflite")
    assert run(check, str(tmp_path / "gelu.tflite"), "--target", "micro", "--no-compile")[0] == 1


def test_check_ends_with_1_where_the_memory_is_too_small(float_ends):
    code, _ = run(check, float_ends, "--target", "ethos-u55-128", "--no-compile", "--memory", "100B")
    assert code == 1


def test_a_fix_without_a_file_to_write_is_refused(float_ends):
    with pytest.raises(OptionError, match=r"pass --fix and -o FILE\.tflite together"):
        run(check, float_ends, "--target", "micro", "--fix")


def test_targets_are_listed():
    assert "qualcomm-htp" in run(check, "--target", "list")[1]
    with pytest.raises(OptionError, match="Received no MODEL"):
        run(check, "--target", "micro")


def test_quantize_for_a_target_says_what_it_makes_of_the_file(tmp_path):
    words = [str(MODEL), "int8", "--data", "tightfit.demo:calibration", "--calibration", "8"]
    words += ["--target", "edge-tpu", "--json", "-o", str(tmp_path / "made.tflite")]
    code, output = run(quantize, *words)
    assert code == 0
    assert json.loads(output)["target"]["accelerated_share"] == 1.0
    made = read_model(tmp_path / "made.tflite").main
    assert [t.dtype for t in (*made.inputs, *made.outputs)] == ["int8", "int8"]
    assert run(quantize, *words, "--memory", "50kB")[0] == 1
    with pytest.raises(OptionError, match=r"'edge-tpu' .* takes int8; received the scheme 'int16x8'"):
        run(quantize, words[0], "int16x8", *words[2:])


def test_advise_by_flags():
    code, output = run(advise, "--answer", "device=gpu", "--json")
    assert code == 0
    assert json.loads(output)["scheme"] == "float16"


def test_advise_names_the_next_question():
    with pytest.raises(OptionError, match=r"--answer data=none\|samples\|training"):
        run(advise, "--answer", "device=npu")


def test_advise_lists_questions():
    assert "device=micro" in run(advise, "--list")[1]


def test_models_that_fit():
    code, output = run(models, "--max-size", "3MB", "--max-macs", "100M", "--target", "edge-tpu", "--json")
    found = json.loads(output)
    assert code == 0
    assert found
    assert all(m["size_bytes"] <= 3_000_000 for m in found)
    assert "is in" in run(models, "--max-size", "3MB")[1]


@pytest.mark.parametrize("target", ["edge-tpu", "qualcomm-htp"])
def test_a_verdict_by_document_names_the_document(float_ends, target):
    code, output = run(check, float_ends, "--target", target)
    assert code == 0
    assert "By document, not by the device: " in output
    found = json.loads(run(check, float_ends, "--target", target, "--json")[1])
    assert found["judge"].startswith("document: ")

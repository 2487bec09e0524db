"""Loops in the files of targets and schemes."""

from __future__ import annotations

import numpy as np
import pytest

import tightfit
from support.recurrent_models import looped_layer, lstm_layer
from tightfit.errors import ModelError
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.pipeline.recurrent_form import without_loops
from tightfit.pipeline.source import open_source


@pytest.fixture
def source(tmp_path):
    write_model(looped_layer("GRU", 6, 32), tmp_path / "float.tflite")
    return tmp_path / "float.tflite"


def samples(count=40):
    draw = np.random.default_rng(0)
    return [{"x": draw.normal(size=(6, 1, 96)).astype(np.float32)} for _ in range(count)]


def kinds(place):
    return {op.kind for graph in read_model(place).graphs for op in graph.ops}


def test_a_target_without_loops_gets_integer_steps(source, tmp_path):
    made = tightfit.quantize(
        source, "int8", data=samples(), output=tmp_path / "o.tflite", target="ethos-u55-128"
    )
    assert "WHILE" not in kinds(tmp_path / "o.tflite")
    assert any("'ethos-u55-128' takes no loops" in note for note in made.notes)
    assert {row.mode for row in made.plan.ops()} <= {"integer", "exact"}
    assert made.snr_db > 25


def test_a_processor_keeps_the_loop_with_its_weights_in_eight_bits(source, tmp_path):
    quantize_file(source, "weight8", tmp_path / "o.tflite", None)
    body = read_model(tmp_path / "o.tflite").graphs[2]
    assert "WHILE" in kinds(tmp_path / "o.tflite")
    assert "int8" in {t.dtype for t in body.tensors()}


def test_training_gets_the_steps(source):
    opened = without_loops(open_source(source))
    assert "WHILE" not in {op.kind for op in opened.model.main.ops}
    assert any("training takes no loops" in note for note in opened.notes)
    assert without_loops(opened) is opened


def test_loops_are_not_simulated_and_the_sentence_says_what_to_do(source):
    with pytest.raises(ModelError, match=r"has loops \(WHILE\).*convert recurrent= unrolled"):
        tightfit.simulate(source, data=samples(2), scheme="int8")


@pytest.mark.parametrize(
    ("change", "why"), [({"keeps": True}, "keeps its state"), ({"clip": 3.0}, "cell state at 3")]
)
def test_a_layer_that_cannot_be_written_out_is_named_with_the_reason(tmp_path, change, why):
    write_model(lstm_layer(**change), tmp_path / "lstm.tflite")
    made = tightfit.convert(tmp_path / "lstm.tflite", tmp_path / "o.tflite", recurrent="unrolled")
    assert any(note.startswith("Not written out: ") and why in note for note in made.notes)

"""A file whose outputs depend on the processor is told; others are not."""

from __future__ import annotations

import pytest

from support.integer_models import conv, unary, with_float_ends
from tightfit.graph.writer import write_model
from tightfit.runtime import emulator
from tightfit.search.verdict.processors import processor_notes


@pytest.mark.parametrize(
    ("model", "machine", "said"),
    [
        (conv(weight_dtype="int4"), "x86_64", "on ARM some values differ, as CONV_2D with int4 weights"),
        (conv(weight_dtype="int4"), "aarch64", "on x86 some values differ: CONV_2D with int4 weights"),
        (unary("SOFTMAX"), "x86_64", "SOFTMAX, int16 tables"),
        (conv(), "x86_64", ""),
    ],
)
def test_the_report_says_where_outputs_depend_on_the_processor(tmp_path, monkeypatch, model, machine, said):
    monkeypatch.setenv(emulator.VARIABLE, str(tmp_path))
    write_model(with_float_ends(model), tmp_path / "m.tflite")
    notes = processor_notes(tmp_path / "m.tflite", [], machine)
    assert [said in note for note in notes] == ([True] if said else [])

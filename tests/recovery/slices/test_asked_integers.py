"""Integers that were asked for at the ends stay while every slice is good; a lost slice becomes float."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import NONE, RELU, Builder
from tightfit.api.quantize import quantize
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import output_names
from tightfit.graph.writer import write_model


def offset_model(offset):
    """One output far from zero: its int8 step grows with the offset, what it says does not."""
    b = Builder(seed=4)
    y = b.op("TANH", [b.dense(b.dense(b.input("x", [1, 6]), 24, RELU), 1, NONE)], [1, 1])
    return b.model(b.op("ADD", [y, b.constant("offset", np.float32([offset]))], [1, 1], table="AddOptions"))


@pytest.mark.parametrize(
    ("offset", "target", "io", "stays"),
    [
        (13, "micro", "int8", True),
        (13, None, "int8", True),
        (13, None, None, False),
        (80, "micro", "int8", False),
    ],
)
def test_an_output_leaves_int8_where_a_slice_is_poor(tmp_path, offset, target, io, stays):
    write_model(offset_model(offset), tmp_path / "m.tflite")
    x = np.random.default_rng(0).uniform(-1, 1, (90, 6)).astype("f")
    options = {"data": x, "target": target, "io": io, "doctor": False}
    made = quantize(tmp_path / "m.tflite", "int8", tmp_path / "o.tflite", **options)
    (end,) = output_names(read_model(tmp_path / "o.tflite")).values()
    assert any("computed in float" in note for note in made.notes) is not stays
    assert not stays or io is None or end.dtype == "int8"

"""An op whose integer kernel fails on a sample computes in float, and the plan says why."""

from __future__ import annotations

import numpy as np

from support.models import Builder
from tightfit.api.quantize import quantize
from tightfit.graph.writer import write_model
from tightfit.quantization import refusals
from tightfit.quantization.plan import FLOAT


def test_a_divisor_that_is_stored_as_zero_leaves_the_division_in_float(tmp_path, monkeypatch):
    monkeypatch.setattr(refusals, "_DIVISOR_STEPS", 0)  # so that the plan takes the division as an integer op
    b = Builder()
    x, y = b.input("x", [1, 8]), b.input("y", [1, 8])
    options = {"fusedActivationFunction": 0}
    divided = b.op("DIV", [b.dense(x, 8), y], [1, 8], table="DivOptions", options=options)
    write_model(b.model(divided), tmp_path / "float.tflite")
    random = np.random.default_rng(0)
    divisors = random.uniform(0.001, 1, (16, 8)).astype(np.float32)
    divisors[:, 0] = 0.001
    data = {"x": random.normal(0, 1, (16, 8)).astype(np.float32), "y": divisors}
    made = quantize(
        tmp_path / "float.tflite", "int8", tmp_path / "int8.tflite", data=data, effort=0, mend=False
    )
    (division,) = [op for graph in made.plan.graphs for op in graph.ops if op.kind == "DIV"]
    assert (division.mode, division.reason) == (FLOAT, "its integer kernel fails on a sample")
    assert "integer" in made.plan.counts(), "the dense layer is an integer op still"

"""Zeros and different values are counted in what the file stores."""

from __future__ import annotations

import numpy as np

from support.models import Builder
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.weights.statistics import weight_values


def model_with(values):
    b = Builder()
    x = b.input("x", [1, 256])
    made = b.model(b.dense(x, 16))
    next(t for t in made.main.tensors() if t.name.endswith("weights")).data = values
    return made


VALUES = np.resize(np.array([0.0, 0.0, 0.5, -1.0], np.float32), (16, 256))


def test_zeros_and_values_of_a_float_file():
    found = weight_values(model_with(VALUES))
    assert (found.zeros, found.unique) == (0.5, 3)
    assert [(t.op, t.dtype, t.size) for t in found.tensors] == [("FULLY_CONNECTED", "float32", 4096)]


def test_integers_behind_a_dequantize_are_counted_as_stored(tmp_path):
    model = model_with(VALUES)
    write_model(model, tmp_path / "float.tflite")
    quantize_file(tmp_path / "float.tflite", "weight8", tmp_path / "small.tflite")
    found = weight_values(tmp_path / "small.tflite")
    assert {t.dtype for t in found.tensors} == {"int8"}
    assert (found.zeros, found.unique) == (0.5, 3)


def test_a_model_without_weights_has_none():
    b = Builder()
    found = weight_values(b.model(b.softmax(b.input("x", [1, 8]))))
    assert (found.zeros, found.unique, found.tensors) == (0.0, 0, ())

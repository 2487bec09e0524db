"""A model whose free sizes are 1 in its file is run at a size that its layers take."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import Builder
from tightfit.api.quantize import quantize
from tightfit.api.verify import verify
from tightfit.graph.ir import Tensor
from tightfit.graph.writer import write_model
from tightfit.runtime.free_sizes import runnable_inputs
from tightfit.runtime.session import Session


@pytest.fixture
def path(tmp_path):
    """A convolution of kernel 9 over a free length; at length 1 LiteRT refuses the model."""
    b = Builder()
    x = b.input("x", [1, 1, 1, 4])
    x.shape_signature = (1, -1, 1, 4)
    weights = np.random.default_rng(0).normal(0, 0.2, (32, 9, 1, 4)).astype(np.float32)
    options = {"strideW": 1, "strideH": 1, "padding": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    w, bias = Tensor("w", weights.shape, data=weights), b.constant("bias", np.zeros(32), "float32")
    y = b.op("CONV_2D", [x, w, bias], [1, 1, 1, 32], table="Conv2DOptions", options=options)
    y.shape_signature = (1, -1, 1, 32)
    write_model(b.model(y), tmp_path / "free.tflite")
    return tmp_path / "free.tflite"


def test_the_first_size_that_runs_is_taken(path):
    with Session(path) as session:
        assert runnable_inputs(session)[0].shape == (1, 16, 1, 4)


def test_weights_of_a_model_of_free_size_are_stored_small_without_data_and_verified(path, tmp_path):
    quantize(path, "weight8", tmp_path / "small.tflite")
    found = verify(tmp_path / "small.tflite")
    assert found.differences
    assert all(d.equal for d in found.differences)


def test_samples_of_another_size_than_the_file_says_calibrate(path, tmp_path):
    data = {"x": np.random.default_rng(1).normal(0, 1, (8, 40, 1, 4)).astype(np.float32)}
    result = quantize(path, "int8", tmp_path / "int8.tflite", data=data, effort=0)
    assert result.plan.counts() == {"integer": 1}
    assert result.snr_db > 30

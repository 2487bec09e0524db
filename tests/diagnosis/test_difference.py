"""What two files differ in, and that a file differs in nothing from itself."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import conv_net, random_inputs, residual_net
from tightfit.data.sample import Sample
from tightfit.diagnosis.difference import difference
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file


@pytest.fixture
def files(tmp_path):
    write_model(conv_net(), tmp_path / "float.tflite")
    samples = [random_inputs(conv_net(), seed) for seed in range(4)]
    quantize_file(tmp_path / "float.tflite", "int8", tmp_path / "int8.tflite", samples)
    return tmp_path / "float.tflite", tmp_path / "int8.tflite"


def test_a_file_equals_itself(files):
    found = difference(files[1], files[1])
    assert found.equal
    assert found.as_json()["equal"]
    assert [o.equal for o in found.outputs] == [True]


def test_a_quantized_file_differs_in_storage_ops_and_answers(files):
    found = difference(*files)
    assert not found.equal
    assert found.ops == {"DEQUANTIZE": (0, 1), "QUANTIZE": (0, 1)}
    assert found.ends == []
    assert found.sizes["file_bytes"][1] < found.sizes["file_bytes"][0]
    assert found.weights_different >= 3
    assert any("is not" not in words and "int8" in words for words in found.tensors)
    assert found.outputs[0].snr_db > 10
    assert found.samples == 2


def test_the_difference_of_a_weight_is_at_most_half_a_step(files):
    found = difference(*files)
    filters = [w for w in found.weights if w.name.endswith("filter")]
    assert filters
    # the coarsest grid has the largest weight in 127 steps
    largest = max(np.abs(op.inputs[1].data).max() for op in conv_net().main.ops if op.kind == "CONV_2D")
    assert all(0 < w.largest <= largest / 127 / 2 * 1.001 for w in filters)


def test_one_changed_weight_is_the_only_difference(files, tmp_path):
    model = conv_net()
    model.main.find("dense_3/bias").data = model.main.find("dense_3/bias").data + np.float32([0, 0, 1, 0, 0])
    write_model(model, tmp_path / "changed.tflite")
    found = difference(files[0], tmp_path / "changed.tflite")
    assert (found.weights_different, found.tensors_different, found.ops) == (1, 0, {})
    assert found.weights[0].name == "dense_3/bias"
    assert found.weights[0].largest == pytest.approx(1.0, rel=2**-22)  # a sum in float32
    assert found.weights[0].different == pytest.approx(0.2)


def test_given_samples_are_run(files):
    samples = [Sample(random_inputs(conv_net(), seed), None) for seed in range(3)]
    found = difference(*files, samples)
    assert found.samples == 3
    assert found.outputs[0].decisions in (1 / 3, 2 / 3, 1.0)


def test_models_of_other_outputs_are_compared_as_far_as_they_go(files, tmp_path):
    write_model(residual_net(), tmp_path / "other.tflite")
    found = difference(files[0], tmp_path / "other.tflite")
    assert not found.equal
    assert found.ends
    assert found.outputs[0].name == "probabilities" if found.outputs else found.unanswered

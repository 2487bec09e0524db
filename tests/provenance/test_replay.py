"""A replay finds a changed model, a changed runtime's steps, other data; and what cannot be replayed."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import conv_net, loop_model, random_inputs
from tightfit.errors import ModelError
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.pipeline.source import open_source
from tightfit.provenance.record import KEY, read_record
from tightfit.provenance.replay import replay


@pytest.fixture
def made(tmp_path):
    write_model(conv_net(), tmp_path / "float.tflite")
    source = open_source(tmp_path / "float.tflite")
    source.facts = {"data": {"fingerprint": "abc"}}
    quantize_file(source, "int8", tmp_path / "made.tflite", [random_inputs(conv_net(), s) for s in range(4)])
    return tmp_path / "made.tflite"


def test_a_file_as_it_was_written_is_equal(made):
    found = replay(made)
    assert found.equal
    assert (found.steps, found.verdict(), found.data_matches) == (0.0, "equal", None)
    assert found.as_json()["made_with"]["scheme"] == "int8"


def test_other_data_is_told(made):
    assert replay(made, fingerprint="abc").data_matches
    assert replay(made, fingerprint="abd").data_matches is False


def test_a_changed_weight_is_found_and_counted_in_steps(made):
    model = read_model(made)
    dense = next(op for op in model.main.ops if op.kind == "FULLY_CONNECTED")
    dense.inputs[2].data = dense.inputs[2].data + np.int32([0, 0, 0, 0, 3000])
    write_model(model, made)
    found = replay(made)
    assert not found.equal
    assert found.steps >= 1
    assert not found.within(0)
    assert found.within(found.steps)
    assert found.verdict() == f"within {int(found.steps)} steps"


def test_another_shape_is_different_and_says_so(made):
    data = read_model(made).metadata[KEY]
    model = conv_net()
    model.signatures[0].outputs = {"probabilities": model.main.ops[-2].outputs[0]}
    model.main.ops[-2].outputs[0].shape = (1, 5)
    model.main.outputs = [model.main.ops[-2].outputs[0]]
    model.main.remove(model.main.ops[-1])
    model.metadata[KEY] = data
    model.signatures[0].outputs = {"logits": model.main.outputs[0]}
    write_model(model, made)
    found = replay(made)
    assert found.steps is None
    assert found.verdict() == "different: there is no output 'probabilities'"


def test_a_file_without_provenance_is_refused(tmp_path):
    write_model(conv_net(), tmp_path / "float.tflite")
    with pytest.raises(ModelError, match="carries no provenance; expected a file that tightfit wrote"):
        replay(tmp_path / "float.tflite")


def test_a_model_with_a_loop_can_be_replayed(tmp_path):
    write_model(loop_model(), tmp_path / "float.tflite")
    quantize_file(tmp_path / "float.tflite", "float16", tmp_path / "made.tflite")
    assert replay(tmp_path / "made.tflite").equal
    assert read_record(read_model(tmp_path / "made.tflite")).signature == "serving_default"

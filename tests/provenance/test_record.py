"""The record inside a file: small, whole, without a sample, and dropped when it no longer holds."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.models import Builder, conv_net, random_inputs, two_inputs_net
from tightfit.errors import ModelError
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.pipeline.source import open_source
from tightfit.pipeline.write import finish
from tightfit.provenance.probes import digest, limits_of, places, seeded_inputs
from tightfit.provenance.record import KEY, MOST_BYTES, ProvenanceRecord, read_record
from tightfit.runtime.input_samples import TensorSpec


def made(tmp_path, model: Model, scheme: str = "int8", **facts) -> Model:
    write_model(model, tmp_path / "float.tflite")
    source = open_source(tmp_path / "float.tflite")
    source.facts = facts
    samples = [random_inputs(model, seed) for seed in range(4)]
    quantize_file(source, scheme, tmp_path / "made.tflite", samples)
    return read_model(tmp_path / "made.tflite")


def test_a_file_says_how_it_was_made(tmp_path):
    record = read_record(made(tmp_path, conv_net(), data={"fingerprint": "abc"}))
    assert record.facts["scheme"] == "int8"
    assert record.facts["data"] == {"fingerprint": "abc"}
    assert record.facts["plan"]["integer"] >= 4
    assert record.facts["source"]["size_bytes"] == (tmp_path / "float.tflite").stat().st_size
    assert set(record.facts["versions"]) == {"tightfit", "litert", "python", "machine"}
    assert [list(answers) for answers in record.answers] == [["probabilities"]] * 2


def test_the_probes_have_the_limits_of_the_data_and_not_the_data(tmp_path):
    record = read_record(made(tmp_path, conv_net()))
    seen = [random_inputs(conv_net(), seed)["image"] for seed in range(4)]  # all that the file was checked on
    low, high = record.limits["image"]
    assert (low, high) == (min(s.min() for s in seen), max(s.max() for s in seen))


def test_a_step_of_a_dequantized_output_is_its_scale(tmp_path):
    model = made(tmp_path, conv_net())
    scale = model.main.outputs[0].producer.input(0).quantization.scale[0]
    assert read_record(model).answers[0]["probabilities"].step == scale


def test_a_source_without_facts_leaves_it_out(tmp_path):
    write_model(conv_net(), tmp_path / "float.tflite")
    source = open_source(tmp_path / "float.tflite")
    source.facts = None
    quantize_file(source, "float16", tmp_path / "made.tflite")
    assert read_record(read_model(tmp_path / "made.tflite")) is None


def test_finishing_a_changed_model_drops_the_old_record(tmp_path):
    model = made(tmp_path, conv_net(), "float16")
    assert KEY in model.metadata
    finish(model)
    assert KEY not in model.metadata


def test_the_same_work_gives_the_same_bytes(tmp_path):
    made(tmp_path, conv_net(), "float16")
    first = (tmp_path / "made.tflite").read_bytes()
    made(tmp_path, conv_net(), "float16")
    assert (tmp_path / "made.tflite").read_bytes() == first


@pytest.mark.parametrize(("units", "most"), [(4, 1024), (20000, 8192)])
def test_the_record_is_bounded_whatever_the_facts(tmp_path, units, most):
    b = Builder()
    model = b.model(b.dense(b.input("x", [1, 50]), units))
    made(tmp_path, model, "float16", steps=["a long step " * 50] * 500)
    data = read_model(tmp_path / "made.tflite").metadata[KEY]
    assert 0 < len(data) <= most <= MOST_BYTES
    assert read_record(read_model(tmp_path / "made.tflite")).answers


def test_several_inputs_and_outputs(tmp_path):
    record = read_record(made(tmp_path, two_inputs_net()))
    assert len(record.answers[0]) == 2
    assert set(record.limits) == {"left", "right"}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no zlib", zlib.compress(b"[1]"), zlib.compress(b"{}"), zlib.compress(b"0" * (3 << 20)),
        zlib.compress(b'{"facts":{},"limits":{"x":[0,1e400]},"answers":[],"unreplayable":""}'),
        zlib.compress(b'{"facts":{},"limits":{},"answers":[{"y":{"dtype":"O"}}],"unreplayable":""}'),
        zlib.compress(b'{"facts":{},"limits":{},"answers":[' + b"{}," * 99 + b'{}],"unreplayable":""}'),
        zlib.compress(b'{"facts":{"steps":5},"limits":{},"answers":[],"unreplayable":""}'),
        zlib.compress(b'{"facts":{},"limits":{},"answers":[{"y":{"dtype":"int8","shape":[1],"digest":"",'
                      b'"step":0,"values":"AA=="}}],"unreplayable":""}'),
    ],
)  # fmt: skip
def test_a_damaged_record_is_refused(data):
    with pytest.raises(ModelError, match="provenance is damaged"):
        ProvenanceRecord.decode(data)


def test_seeded_inputs_are_the_same_everywhere():
    spec = TensorSpec("x", (3,), "int8", 0.5, 0)
    assert seeded_inputs([spec], {}, 1)["x"].tolist() == [3, 115, -92]
    assert seeded_inputs([TensorSpec("i", (4,), "int32")], {"i": (2.0, 5.0)}, 0)["i"].tolist() == [4, 3, 2, 2]
    assert seeded_inputs([TensorSpec("i", (2,), "int64")], {}, 0)["i"].tolist() == [0, 0]


@given(st.integers(0, 1000), st.integers(1, 300))
def test_places_are_spread_from_the_first_to_the_last(size, most):
    found = places(size, most)
    assert found.size == min(size, most)
    assert (np.diff(found) > 0).all()
    if found.size > 1:
        assert (found[0], found[-1]) == (0, size - 1)


def test_limits_pass_over_what_is_not_finite():
    assert limits_of([{"x": np.float32([1, np.inf])}, {"x": np.float32([np.nan])}]) == {"x": (0.0, 1.0)}


def test_the_digest_is_of_values_and_type():
    assert digest(np.int8([1, 2])) != digest(np.int16([1, 2]))
    assert digest(np.zeros((2, 2))[:, 0]) == digest(np.zeros(2))

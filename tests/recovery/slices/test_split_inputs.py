"""Input columns of different units on devices that take integers only: pieces of the input, or a name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from support.models import Builder
from support.sensor_models import readings, sensor_model
from tightfit.api.evaluate import evaluate
from tightfit.api.quantize import quantize
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.graph.split_inputs import INPUTS_KEY, InputPiece, split_values
from tightfit.graph.writer import write_model
from tightfit.runtime.session import Session


def measured_db(float_file, file, x):
    """The worst ratio of an output to its noise, measured with integers made here."""
    pairs = []
    with Session(float_file) as one, Session(file) as other:
        for row in x:
            (wanted,) = one.run({one.inputs[0].name: row[None]}).values()
            fed = split_values({"x": row[None]}, [s.name for s in other.inputs])
            stored = {
                s.name: np.clip(np.rint(fed[s.name] / s.scale) + s.zero_point, -128, 127).astype(np.int8)
                for s in other.inputs
            }
            (raw,) = other.run(stored).values()
            (end,) = other.outputs
            reals = raw if end.scale is None else (raw.astype(np.float64) - end.zero_point) * end.scale
            pairs.append((wanted[0], reals[0]))
    wanted, got = (np.stack(v) for v in zip(*pairs, strict=True))
    return float((10 * np.log10(wanted.var(0) / np.square(wanted - got).mean(0))).min())


@pytest.mark.parametrize("target", ["edge-tpu", "ethos-u55-128"])
@pytest.mark.parametrize("normalized", [False, True])
def test_columns_of_different_units_become_inputs_with_scales_of_their_own(tmp_path, target, normalized):
    write_model(sensor_model(normalized=normalized), tmp_path / "m.tflite")
    options = {"data": readings(), "target": target, "doctor": False}
    made = quantize(tmp_path / "m.tflite", "int8", tmp_path / "o.tflite", **options)
    assert not made.unfit
    assert measured_db(tmp_path / "m.tflite", tmp_path / "o.tflite", readings(64, seed=9)) >= 20
    model = read_model(tmp_path / "o.tflite")
    (facts,) = json.loads(model.metadata[INPUTS_KEY])
    assert facts["input"] == "x"
    assert [p["name"] for p in facts["pieces"]] == list(input_names(model))
    assert all(t.dtype == "int8" for t in input_names(model).values())


@pytest.mark.parametrize(("target", "way"), [("micro", "taken in pieces"), (None, "brought to one size")])
def test_a_remedy_takes_the_place_of_the_doctor_s_fix(tmp_path, target, way):
    write_model(sensor_model(), tmp_path / "m.tflite")
    io = "int8" if target else None
    made = quantize(
        tmp_path / "m.tflite", "int8", tmp_path / "o.tflite", data=readings(), target=target, io=io
    )
    (said,) = [note for note in made.notes if "(mixed_units)" in note]
    assert "solved" in said
    assert way in said
    assert "Fix:" not in said


def test_evaluate_feeds_the_pieces_from_the_whole_input(tmp_path):
    write_model(sensor_model(), tmp_path / "m.tflite")
    quantize(tmp_path / "m.tflite", "int8", tmp_path / "o.tflite", data=readings(), target="edge-tpu")
    for files in ([tmp_path / "m.tflite", tmp_path / "o.tflite"], [tmp_path / "o.tflite"]):
        found = evaluate(files, readings(40, seed=5))
        assert found[-1].failure is None
    beside = evaluate([tmp_path / "m.tflite", tmp_path / "o.tflite"], readings(40, seed=5))
    assert beside[1].snr_db > 20


def test_where_no_exact_form_exists_the_file_is_unfit_by_name(tmp_path):
    """A padded convolution adds zeros to what it reads, which are no zeros behind a shift."""
    b = Builder(seed=1)
    x = b.input("x", [1, 6, 6, 2])
    y = b.conv(x, 8)
    weights = y.producer.inputs[1]
    weights.data = (weights.data * np.float32([2e-3, 1])).astype(np.float32)
    write_model(b.model(b.dense(b.mean(y), 2)), tmp_path / "m.tflite")
    random = np.random.default_rng(0)
    data = random.uniform(-1, 1, (60, 6, 6, 2)) * [500, 0.4] + [101325, 0]
    made = quantize(
        tmp_path / "m.tflite", "int8", tmp_path / "o.tflite", data=data.astype("f"), target="edge-tpu"
    )
    assert made.unfit
    assert any("one integer scale of all columns rounds them away" in note for note in made.notes)


def test_a_piece_is_what_its_name_says():
    piece = InputPiece.parse("x[1:0-1,3-4]-1.01325e+05")
    assert piece.entries.entries == (0, 3)
    assert piece.of(np.float32([[101326, 0, 0, 101325]])).tolist() == [[1.0, 0.0]]
    assert InputPiece.parse("x[1:0-1]x") is None

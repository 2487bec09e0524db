"""Input columns of different units on devices that take integers only: pieces of the input, or a name."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from support.models import Builder
from support.sensor_models import readings, sensor_model
from tightfit import recovery
from tightfit.api.evaluate import evaluate
from tightfit.api.quantize import quantize
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.graph.split_inputs import INPUTS_KEY, InputPiece, split_values
from tightfit.graph.writer import serialize, write_model
from tightfit.recovery.slices import remedy
from tightfit.recovery.slices.input_remedies import InputRemedies
from tightfit.recovery.slices.normalized_columns import poor_inputs
from tightfit.recovery.slices.remedy_state import RemedyState
from tightfit.recovery.slices.slice_trials import SliceTrials
from tightfit.recovery.slices.split_input import split_inputs
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


PRESSURE_AND_SHARE = np.float32([101325, 0.3]), np.float32([500, 0.4])


def padded_net(*, normalized):
    """A convolution that adds zeros around pressures and shares, behind SUB and MUL or not."""
    b = Builder(seed=1)
    middles, units = PRESSURE_AND_SHARE
    y = x = b.input("x", [1, 6, 6, 2])
    if normalized:
        y = b.op("SUB", [x, b.constant("mean", middles)], x.shape, table="SubOptions")
        y = b.op("MUL", [y, b.constant("scale", 1 / units)], x.shape, table="MulOptions")
    y = b.conv(y, 8)
    if not normalized:
        weights = y.producer.inputs[1]
        weights.data = (weights.data * np.float32([2e-3, 1])).astype(np.float32)
    return b.model(b.dense(b.mean(y), 2))


def maps(count=60, seed=0):
    """Inputs of ``padded_net``."""
    middles, units = PRESSURE_AND_SHARE
    random = np.random.default_rng(seed)
    return (random.uniform(-1, 1, (count, 6, 6, 2)) * units + middles).astype(np.float32)


def test_pieces_are_normalized_where_the_layer_behind_adds_zeros(tmp_path):
    model = padded_net(normalized=True)
    write_model(model, tmp_path / "m.tflite")
    made = quantize(tmp_path / "m.tflite", "int8", tmp_path / "o.tflite", data=maps(), target="edge-tpu")
    assert not made.unfit
    assert len(input_names(read_model(tmp_path / "o.tflite"))) == 2
    assert measured_db(tmp_path / "m.tflite", tmp_path / "o.tflite", maps(32, seed=4)) >= 20
    twin, _ = split_inputs(model, poor_inputs(model, [{"x": row[None]} for row in maps()]), 30.0)
    with Session(tmp_path / "m.tflite") as one, Session(bytes(serialize(twin))) as other:
        row = maps(1, seed=7)
        (wanted,) = one.run({"x": row}).values()
        (got,) = other.run(split_values({"x": row}, [s.name for s in other.inputs])).values()
    np.testing.assert_allclose(got, wanted, atol=1e-4 * np.abs(wanted).max())  # 101,325 in float32 over 500


@pytest.mark.parametrize("target", [None, "edge-tpu"])
def test_units_of_inputs_and_of_an_output_are_mended_together(tmp_path, target):
    """Either alone leaves the worst slice as it was."""
    model = sensor_model(normalized=True)
    weights, bias = model.main.ops[-1].inputs[1:]
    units = np.float32([1e4, 1, 0.01])
    weights.data, bias.data = weights.data * units[:, None], bias.data * units
    write_model(model, tmp_path / "m.tflite")
    made = quantize(tmp_path / "m.tflite", "int8", tmp_path / "o.tflite", data=readings(), target=target)
    assert not made.unfit
    found = evaluate([tmp_path / "m.tflite", tmp_path / "o.tflite"], readings(64, seed=9))[-1]
    assert found.outputs[0].worst_slice.snr_db >= 20
    assert not any("one integer scale of all columns rounds them away" in note for note in made.notes)


def test_where_no_exact_form_exists_the_file_is_unfit_by_name(tmp_path):
    """A padded convolution adds zeros to what it reads, which are no zeros behind a shift."""
    write_model(padded_net(normalized=False), tmp_path / "m.tflite")
    made = quantize(tmp_path / "m.tflite", "int8", tmp_path / "o.tflite", data=maps(), target="edge-tpu")
    assert made.unfit
    assert any("one integer scale of all columns rounds them away" in note for note in made.notes)


def test_a_piece_is_what_its_name_says():
    piece = InputPiece.parse("x[1:0-1,3-4]-1.01325e+05")
    assert piece.entries.entries == (0, 3)
    assert piece.of(np.float32([[101326, 0, 0, 101325]])).tolist() == [[1.0, 0.0]]
    assert InputPiece.parse("x[1:0-1]x") is None


def test_samples_that_fitted_no_remedy_judge_the_file(tmp_path, monkeypatch):
    """Where they see less than all samples together, theirs is what the file is said to be."""
    write_model(sensor_model(), tmp_path / "m.tflite")
    judging = SliceTrials.measured

    def worse(self, model, plan):
        return [replace(o, own_db=12.5) for o in judging(self, model, plan)]

    plain = quantize(tmp_path / "m.tflite", "int8", tmp_path / "o.tflite", data=readings(), effort=0)
    assert plain.outputs[0].own_db < 10  # without remedies there is nothing to judge
    monkeypatch.setattr(recovery, "mend_inputs", lambda *_: None)
    monkeypatch.setattr(remedy, "_mended", lambda trials, state: InputRemedies(trials).columns(state))
    monkeypatch.setattr(SliceTrials, "measured", worse)
    monkeypatch.setattr(RemedyState, "gains_over", lambda *_: True)
    made = quantize(tmp_path / "m.tflite", "int8", tmp_path / "o.tflite", data=readings(), doctor=False)
    assert made.outputs[0].own_db == 12.5

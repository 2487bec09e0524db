from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from support.recurrent_models import lstm_layer, sequences, states_of
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.plan import FLOAT, INTEGER, UNPACKED
from tightfit.quantization.planning import make_plan
from tightfit.runtime.session import Session
from tightfit.targets.tools import micro

KIND = "UNIDIRECTIONAL_SEQUENCE_LSTM"


@pytest.fixture(scope="module")
def layer():
    return lstm_layer(16, 8, 16)


@pytest.fixture(scope="module")
def written(layer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lstm")
    write_model(layer, folder / "float.tflite")

    def quantized(scheme):
        place = folder / f"{scheme}.tflite"
        if not place.exists():
            quantize_file(folder / "float.tflite", scheme, place, sequences(layer, 20), mend=False)
        return place

    return quantized


def snr_db(layer, place):
    """Over samples that calibration has not seen; twice each, as the state must not stay."""
    samples = [s for s in sequences(layer, 4, seed=7) for _ in range(2)]
    with Session(place) as session:
        found = np.stack([session.run(s)["y"] for s in samples])
    exact = np.stack([states_of(layer, s["x"])[0] for s in samples])
    return 10 * np.log10(np.square(exact).sum() / np.square(exact - found).sum())


def test_calibration_finds_the_cell_state_that_no_tensor_holds(layer):
    samples = sequences(layer, 5)
    seen = calibrate(layer, samples, workers=2).statistics["y/cell"]
    cells = np.stack([states_of(layer, s["x"])[1] for s in samples])
    assert (seen.low, seen.high) == pytest.approx((cells.min(), cells.max()), rel=1e-4)


def test_calibration_follows_the_cell_state_of_a_stream():
    stream = lstm_layer(steps=3, keeps=True, gain=3.0)
    samples = sequences(stream, 30)
    seen = calibrate(stream, samples, workers=2).statistics
    (name,) = [t.name for t in stream.main.tensors() if t.is_variable and t.name.endswith("cell")]
    last, cells = None, []
    for sample in samples:
        last = states_of(stream, sample["x"], last)
        cells.append(last[1])
    ends = np.stack(cells).min(), np.stack(cells).max()
    assert (seen[name].low, seen[name].high) == pytest.approx(ends, rel=1e-3)


def test_int8_holds_the_cell_in_int16_with_a_power_of_two(layer, written):
    op = next(op for op in read_model(written("int8")).main.ops if op.kind == KIND)
    cell = op.operand(19)
    assert (cell.dtype, op.operand(18).dtype, op.operand(12).dtype) == ("int16", "int8", "int32")
    reach = max(np.abs(states_of(layer, s["x"])[1]).max() for s in sequences(layer, 20))
    assert reach <= cell.grid.scale[0] * 2**15 <= 2 * max(reach, 1.0)
    assert [t.dtype for t in op.intermediates] == ["int16"] * 4 + ["int8"]
    assert all(op.operand(i).is_variable and op.operand(i).producer is not None for i in (18, 19))


@pytest.mark.parametrize(
    ("scheme", "least"), [("int8", 30), ("dynamic", 38), ("weight8", 38), ("float16", 65)]
)
def test_one_op_is_as_accurate_as_its_steps_written_out(layer, written, scheme, least):
    kinds = [op.kind for op in read_model(written(scheme)).main.ops]
    assert kinds.count(KIND) == 1
    assert snr_db(layer, written(scheme)) > least


def test_int16x8_has_no_kernel_of_the_layer_and_is_written_out(tmp_path):
    write_model(small := lstm_layer(4, 3, 4), tmp_path / "float.tflite")
    made = quantize_file(tmp_path / "float.tflite", "int16x8", tmp_path / "o.tflite", sequences(small, 40))
    assert KIND not in [op.kind for op in read_model(tmp_path / "o.tflite").main.ops]
    assert any("LiteRT has no int16x8 kernel" in note for note in made.notes)
    assert snr_db(small, tmp_path / "o.tflite") > 30


@pytest.mark.parametrize(("clip", "keeps"), [(0.4, False), (0.4, True), (0.0, True)])
def test_int8_clips_the_cell_and_keeps_the_states_of_a_stream(tmp_path, clip, keeps):
    """TensorFlow writes every LSTM with a clip of 10 and with states that stay from call to call."""
    stream = lstm_layer(16, 8, 16, clip=clip, keeps=keeps, gain=2.0)
    write_model(stream, tmp_path / "float.tflite")
    made = quantize_file(tmp_path / "float.tflite", "int8", tmp_path / "o.tflite", sequences(stream, 20))
    assert [row.mode for row in made.plan.ops() if row.kind == KIND] == [INTEGER]
    last, exact, found = None, [], []
    with Session(tmp_path / "o.tflite") as session:
        for sample in sequences(stream, 8, seed=7):
            both = states_of(stream, sample["x"], last)
            last = both if keeps else None
            exact.append(both[0])
            found.append(session.run(sample)["y"])
    error = np.square(np.stack(exact) - np.stack(found)).sum()
    assert 10 * np.log10(np.square(np.stack(exact)).sum() / error) > 28


def test_a_wide_cell_and_an_uncalibrated_one_stay_float(layer):
    ends = {"x": (-3.0, 3.0), "y": (-1.0, 1.0)}
    row = make_plan(layer, "int8", ends | {"y/cell": (-70.0, 3.0)}).ops()[-1]
    assert row.mode in (FLOAT, UNPACKED)
    assert "reaches 70" in row.reason
    assert "was not calibrated" in make_plan(layer, "int8", ends).ops()[-1].reason
    assert make_plan(layer, "int8", ends | {"y/cell": (-63.0, 3.0)}).ops()[-1].mode == INTEGER


@pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="needs tflite-micro")
def test_tflite_micro_gives_what_litert_gives(layer, written):
    samples = sequences(layer, 2, seed=9)
    with Session(written("int8")) as session:
        wanted = [session.run(s)["y"] for s in samples]
    model = read_model(written("int8"))
    found = micro.run_micro(model, samples=[[s["x"]] for s in samples])
    assert found.runs, found.reason
    step = next(t for op in model.main.ops if op.kind == KIND for t in op.outputs).grid.scale[0]
    for (one,), other in zip(found.outputs, wanted, strict=True):
        assert np.abs(one - other).max() <= 2.01 * step


def test_states_stay_variables_where_the_ops_that_reset_them_have_another_type(layer, tmp_path):
    write_model(layer, tmp_path / "float.tflite")
    rules = [("MUL", "int16x8"), (KIND, "float")]
    made = quantize_file(
        tmp_path / "float.tflite", "int8", tmp_path / "o.tflite", sequences(layer, 10), overrides=rules
    )
    assert made.snr_db > 20
    op = next(op for op in read_model(tmp_path / "o.tflite").main.ops if op.kind == KIND)
    assert [op.operand(i).dtype for i in (18, 19)] == ["float32"] * 2

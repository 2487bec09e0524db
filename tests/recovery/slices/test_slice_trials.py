"""Which samples judge a remedy: some apart, but all where they are few or follow each other."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import Builder
from support.sensor_models import sensor_model
from tightfit.api.quantize import quantize
from tightfit.evaluation.slices.output_quality import OutputQuality, SliceQuality
from tightfit.graph.ir import Model
from tightfit.graph.signatures import output_names
from tightfit.graph.writer import write_model
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.recovery.slices.comparisons import comparison_notes
from tightfit.recovery.slices.slice_trials import FEWEST_TO_HOLD_OUT, SliceTrials
from tightfit.recovery.state import RecoveryState


def stateful_model():
    """The same model with a tensor that is kept between calls."""
    model = sensor_model()
    model.main.inputs[0].is_variable = True
    return model


@pytest.mark.parametrize(
    ("make", "count", "judges"),
    [
        (sensor_model, FEWEST_TO_HOLD_OUT, -(-FEWEST_TO_HOLD_OUT // 3)),
        (sensor_model, FEWEST_TO_HOLD_OUT - 1, FEWEST_TO_HOLD_OUT - 1),
        (stateful_model, FEWEST_TO_HOLD_OUT, FEWEST_TO_HOLD_OUT),  # each sample follows the one before
    ],
)
def test_samples_are_held_out_where_they_are_many_and_stand_alone(make, count, judges):
    model = make()
    plan = make_plan(model, find_scheme("float16"), Ranges([]))
    work = RecoveryState(model, plan, Ranges([]), lambda: iter(()), 0)
    answered = [({"x": np.float32([[i]])}, {}) for i in range(count)]
    trials = SliceTrials(work, answered, {})
    assert len(trials.judging()) == judges
    assert len(trials.fitting()) == (count if judges == count else count - judges)


def gated_exponential() -> Model:
    """x where it is positive, else its exponential, whose scale is as wide as that of positive values."""
    b = Builder()
    x = b.input("x", [1, 8])
    positive = b.op("GREATER", [x, b.constant("zero", 0.0, "float32")], x.shape, dtype="bool")
    return b.model(b.op("SELECT_V2", [positive, x, b.op("EXP", [x], x.shape)], x.shape))


@pytest.mark.parametrize("seed", [1, 2])
def test_an_output_behind_a_comparison_is_compared_in_float(tmp_path, seed):
    """Seed 1: only all samples together show the poor slice; seed 2: those held out do."""
    x = np.random.default_rng(seed).normal(size=(48, 8)).astype(np.float32)
    path = tmp_path / "gated.tflite"
    write_model(gated_exponential(), path)
    result = quantize(path, "int8", tmp_path / "q.tflite", data={"x": x})
    assert result.unfit == []
    assert result.outputs[0].own_db > 40


def test_an_output_of_low_ratio_that_a_comparison_chooses_is_named():
    poor = SliceQuality("y", 1, 0, 8, 21.0, None)
    model = gated_exponential()
    (name,) = output_names(model)
    (note,) = comparison_notes(model, [OutputQuality(name, 25.0, poor, own_db=21.0)])
    assert "chosen by a comparison ('greater_0')" in note
    assert not list(comparison_notes(model, [OutputQuality(name, 45.0, poor, own_db=40.0)]))


def test_a_test_for_nan_chooses_nothing():
    b = Builder()
    x = b.input("x", [1, 8])
    is_nan = b.op("NOT_EQUAL", [x, x], x.shape, dtype="bool")
    model = b.model(b.op("SELECT_V2", [is_nan, x, b.op("EXP", [x], x.shape)], x.shape))
    (name,) = output_names(model)
    poor = SliceQuality("y", 1, 0, 8, 21.0, None)
    assert not list(comparison_notes(model, [OutputQuality(name, 25.0, poor, own_db=21.0)]))

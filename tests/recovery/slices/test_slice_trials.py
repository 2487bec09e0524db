"""Which samples judge a remedy: some apart, but all where they are few or follow each other."""

from __future__ import annotations

import numpy as np
import pytest

from support.sensor_models import sensor_model
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import find_scheme
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

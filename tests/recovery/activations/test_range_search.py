"""Ranges are clipped where that reduces the outputs' noise, and nowhere else."""

from __future__ import annotations

import numpy as np

from support.models import RELU, Builder
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover
from tightfit.runtime.session import Session

ROWS = 200


def samples(seed=0):
    random = np.random.default_rng(seed)
    return [{"x": random.uniform(-1, 1, (1, 8)).astype(np.float32)} for _ in range(ROWS)]


def model(outlier):
    """Two dense layers; one channel in between is rarely huge and hardly read."""
    b = Builder(seed=1)
    hidden = b.dense(b.input("x", [1, 8]), 64, RELU)
    made = b.model(b.dense(hidden, 4))
    first, second = made.main.ops
    if outlier:
        # Only where the first input is above 0.9 does the channel fire, up to 600.
        first.inputs[1].data[0] = np.eye(8, dtype=np.float32)[0] * 6000
        first.inputs[2].data[0] = -5400.0
        second.inputs[1].data[:, 0] = 1e-6
    return made


def recovered(float_model):
    seen = calibrate(float_model, samples())
    ranges = Ranges([seen.statistics])
    state = RecoveryState(
        float_model, make_plan(float_model, "int8", ranges), ranges, lambda: iter(samples()), 10_000
    )
    return recover(state, ["activation-ranges"])


def noise(float_model, plan):
    given = []
    for one in (float_model, apply_plan(float_model, plan)):
        with Session(bytes(serialize(one))) as session:
            name = session.outputs[0].name
            given.append(np.stack([r[name] for r in session.run_many(samples(seed=5))]))
    return float(np.square(given[0] - given[1]).sum())


def test_a_range_is_cut_where_a_rare_value_matters_to_no_output():
    float_model = model(outlier=True)
    state = recovered(float_model)
    plain = make_plan(float_model, "int8", Ranges([calibrate(float_model, samples()).statistics]))
    assert noise(float_model, state.plan) < noise(float_model, plain) / 4
    assert "1 activation clipped" in state.notes[0]
    assert state.known.keys() == {float_model.main.ops[0].name}


def test_ranges_that_serve_stay():
    float_model = model(outlier=False)
    state = recovered(float_model)
    plain = make_plan(float_model, "int8", Ranges([calibrate(float_model, samples()).statistics]))
    kept = state.plan == plain
    assert kept or noise(float_model, state.plan) < noise(float_model, plain)

"""Every recovery of weights helps a model that needs it, on LiteRT, and leaves one alone that does not."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import RELU, Builder, on_four_bits
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.collect_moments import collect_moments
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.rounding.damping import CHOICES, choose_damping
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover
from tightfit.runtime.session import Session

FEW_BITS = [("FULLY_CONNECTED", "int8x4")]
STEPS = {
    "gptq": ["gptq"],
    "bias-correction": ["bias-correction"],
    "sequential-bias-correction": ["sequential-bias-correction"],
    "mixed-precision": ["mixed-precision"],
}


def samples(count=64, seed=0):
    """Inputs that are correlated and far from zero, as activations after ReLU are."""
    mix = np.random.default_rng(77).normal(size=(6, 32))
    random = np.random.default_rng(seed)
    return [{"x": np.abs(random.normal(size=(1, 6)) @ mix).astype(np.float32)} for _ in range(count)]


def dense_model(*, on_grid):
    """Three dense layers; on request their weights are whole multiples of a step that four bits hold."""
    b = Builder(seed=2)
    x = b.dense(b.dense(b.input("x", [1, 32]), 48, RELU), 48, RELU)
    model = b.model(b.dense(x, 10))
    return on_four_bits(model) if on_grid else model


def state_on(model):
    ranges = Ranges([calibrate(model, samples()).statistics])
    plan = make_plan(model, "int8", ranges, overrides=FEW_BITS)
    assert [p.constants[1].dtype for p in plan.ops()] == ["int4"] * 3
    return RecoveryState(
        model, plan, ranges, lambda: iter(samples()), 100_000, 100_000, overrides=tuple(FEW_BITS)
    )


def noise(float_model, model, plan):
    """Squared error of the integer model on the device, on samples that calibrated nothing."""
    given = []
    for one in (float_model, apply_plan(model, plan)):
        with Session(bytes(serialize(one))) as session:
            name = session.outputs[0].name
            given.append(np.stack([r[name] for r in session.run_many(samples(seed=5))]))
    return float(np.square(given[0] - given[1]).sum())


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())
def test_a_model_that_needs_it_gains_on_the_device(steps):
    model = dense_model(on_grid=False)
    state = state_on(model)
    plain = noise(model, model, state.plan)
    recover(state, steps)
    assert noise(model, state.model, state.plan) < 0.9 * plain


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())
def test_a_model_that_does_not_need_it_keeps_its_weights(steps):
    model = dense_model(on_grid=True)
    state = state_on(model)
    before = apply_plan(model, state.plan).main
    recover(state, steps)
    after = apply_plan(state.model, state.plan).main
    for one, other in zip(before.ops, after.ops, strict=True):
        if one.kind == "FULLY_CONNECTED":
            assert one.inputs[1].dtype == other.inputs[1].dtype == "int4"
            np.testing.assert_array_equal(one.inputs[1].data, other.inputs[1].data)


def test_moments_of_few_samples_are_trusted_less():
    model = dense_model(on_grid=False)
    plan = state_on(model).plan
    second = model.main.ops[1]
    weights = second.inputs[1].data.astype(np.float64)
    scales = np.abs(weights).max(axis=1) / 7
    chosen = []
    for count in (6, 1200):
        moments = collect_moments(model, plan, samples(count), workers=1)[second.name]
        chosen.append(choose_damping(weights, moments.means(), scales, 7))
    assert chosen[0] > chosen[1]
    assert set(chosen) <= set(CHOICES)
    assert choose_damping(weights, moments.means()[:1], scales, 7) == CHOICES[-1]


def test_a_changed_float_model_keeps_its_histograms_for_other_observers():
    state = state_on(dense_model(on_grid=False))
    state.adopt(state.original)
    key = state.original.main.keys()[state.original.main.ops[0].outputs[0]]
    widths = [
        np.ptp(Ranges(state.ranges.statistics, {"int8": name}).find(0, key, "int8"))
        for name in ("minmax", "percentile:99")
    ]
    assert widths[1] < 0.95 * widths[0]

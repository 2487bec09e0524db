"""Rounding that learns gains on LiteRT, leaves a model alone that needs nothing, and goes on after a stop."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

import tightfit.recovery.rounding.block_reconstruction as training
from support.models import RELU, Builder, on_four_bits
from tightfit.errors import OptionError
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.output_noise import outputs_of, tensor_noise
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover

FEW_BITS = (("FULLY_CONNECTED", "int8x4"),)


def samples(count=160, seed=0):
    """Inputs of six directions in 24 dimensions, as activations after ReLU are."""
    mix = np.random.default_rng(77).normal(size=(6, 24))
    random = np.random.default_rng(seed)
    return [{"x": np.abs(random.normal(size=(1, 6)) @ mix).astype(np.float32)} for _ in range(count)]


def dense_model(*, on_grid=False, layers=2):
    """Dense layers; on request their weights are whole multiples of a step that four bits hold."""
    b = Builder(seed=2)
    x = b.input("x", [1, 24])
    for _ in range(layers - 1):
        x = b.dense(x, 40, RELU)
    model = b.model(b.dense(x, 6))
    return on_four_bits(model) if on_grid else model


def state_on(model, folder=None, count=160, few=FEW_BITS):
    ranges = Ranges([calibrate(model, samples(count)).statistics])
    plan = make_plan(model, "int8", ranges, overrides=few)
    return RecoveryState(
        model, plan, ranges, lambda: iter(samples(count)), 100_000, overrides=few, folder=folder
    )


def device_noise(model, state):
    """Of the integer model, on samples that calibrated and taught nothing."""
    unseen = samples(seed=5)
    wanted = list(outputs_of(model, unseen))
    return tensor_noise(wanted, outputs_of(apply_plan(state.model, state.plan), unseen))


def stored(state):
    return [op.inputs[1].data for op in apply_plan(state.model, state.plan).main.ops if len(op.inputs) > 1]


def test_what_has_more_bits_learns_to_make_up_for_what_has_few():
    model = dense_model()
    first = model.main.ops[0].name
    state = recover(state_on(model, count=256, few=((first, "int8x4"),)), ["gptq"])
    assert [p.constants[1].dtype for p in state.plan.ops()] == ["int4", "int8"]
    before = device_noise(model, state)
    recover(state, ["block-reconstruction"])
    # Closed form rounds one layer after the other, and none looks at what the others can take over.
    assert device_noise(model, state) < 0.85 * before
    assert state.notes[-1].startswith("block reconstruction kept in 1 of 1 block: noise ")


def test_a_model_that_does_not_need_it_keeps_its_weights():
    state = state_on(dense_model(on_grid=True))
    before = stored(state)
    recover(state, ["block-reconstruction"])
    for one, other in zip(before, stored(state), strict=True):
        np.testing.assert_array_equal(one, other)
    assert state.notes == ["block reconstruction was skipped: no layer's weights change when rounded"]


def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_been_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STEPS", 3)
    learned = []
    round_block = training.round_block

    def watched(*arguments, **options):
        learned.append(options["seed"])
        return round_block(*arguments, **options)

    monkeypatch.setattr(training, "round_block", watched)
    model = dense_model(layers=4)
    state = state_on(model, tmp_path / "unfinished")

    def stop(what, done, _total):
        if what == "block reconstruction" and done == 1:
            raise KeyboardInterrupt

    state.progress = stop
    with pytest.raises(KeyboardInterrupt):
        recover(state, ["block-reconstruction"])
    assert len(list((tmp_path / "unfinished").iterdir())) == 1
    resumed = recover(state_on(model, tmp_path / "unfinished"), ["block-reconstruction"])
    assert learned == [0, 1]
    assert not (tmp_path / "unfinished").exists()
    whole = recover(state_on(model), ["block-reconstruction"])
    for one, other in zip(stored(resumed), stored(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_too_few_samples_are_told_of():
    state = recover(state_on(dense_model(), count=8), ["block-reconstruction"])
    assert state.notes == ["block reconstruction was skipped: 8 samples, expected 16 or more"]


def test_without_keras_it_is_refused_before_anything_else_runs(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    state = state_on(dense_model())
    with pytest.raises(OptionError, match=r"pip install 'tightfit\[keras\]'"):
        recover(state, ["gptq", "block-reconstruction"])
    assert not state.notes

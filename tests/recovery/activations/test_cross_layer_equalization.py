"""Channels of unlike reach are made equal where that gains, and the float model computes the same."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import NONE, RELU, RELU6, Builder
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.activations.cross_layer_equalization import equalize
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover
from tightfit.runtime.session import Session


def images(count=16, seed=0):
    random = np.random.default_rng(seed)
    return [{"image": random.uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)} for _ in range(count)]


def chain(activation=RELU, spread=1.0, lift=0.0, kernel=1):
    """Convolution, depthwise convolution, convolution; ``spread`` makes channels of unlike reach."""
    b = Builder(seed=3)
    x = b.conv(b.input("image", [1, 8, 8, 3]), 16, activation=activation)
    y = b.conv(b.depthwise(x, activation=activation), 16, kernel=1, activation=activation)
    model = b.model(b.conv(y, 6, kernel=kernel, activation=NONE))
    layers = [op for op in model.main.ops if op.inputs[1] is not None]
    if activation == RELU6:
        for op in layers[:-1]:
            op.inputs[1].data, op.inputs[2].data = op.inputs[1].data * 0.3, op.inputs[2].data * 0.3
    scales = np.geomspace(1.0, spread, 16).astype(np.float32)
    for first, second in ((0, 1), (2, 3)):
        rows = [-1] + [1] * 3
        layers[first].inputs[1].data = layers[first].inputs[1].data / scales.reshape(rows)
        layers[first].inputs[2].data = layers[first].inputs[2].data / scales + np.float32(lift)
        layers[second].inputs[1].data = layers[second].inputs[1].data * scales
    return model


def outputs(model, samples):
    with Session(bytes(serialize(model))) as session:
        name = session.outputs[0].name
        return np.stack([r[name] for r in session.run_many(samples)])


def plan_of(model, scheme="int8"):
    return make_plan(model, scheme, Ranges([calibrate(model, images()).statistics]))


def error_db(model, plan, float_model):
    """Signal to noise of the integer model on the device, on samples that calibrated nothing."""
    unseen = images(seed=9)
    wanted = outputs(float_model, unseen)
    noise = outputs(apply_plan(model, plan), unseen) - wanted
    return 10 * np.log10(np.square(wanted).sum() / np.square(noise).sum())


@pytest.mark.parametrize("activation", [RELU, RELU6, NONE])
def test_the_float_model_computes_the_same(activation):
    model = chain(activation, spread=64.0)
    twin, changed = equalize(model, plan_of(model), images())
    assert changed
    wanted = outputs(model, images())
    # Each product and each sum is rounded once more at most: K = 144 terms and four layers.
    bound = 4 * 144 * np.finfo(np.float32).eps * np.abs(wanted).max()
    np.testing.assert_allclose(outputs(twin, images()), wanted, rtol=0, atol=bound)


@pytest.mark.parametrize("activation", [RELU, RELU6])
def test_a_model_that_needs_it_gains_on_the_device(activation):
    model = chain(activation, spread=64.0)
    plain = plan_of(model)
    state = RecoveryState(
        model, plain, Ranges([calibrate(model, images()).statistics]), lambda: iter(images()), 10_000
    )
    recover(state, ["cross-layer-equalization"])
    assert error_db(state.model, state.plan, model) > error_db(model, plain, model) + 6.0
    assert state.notes[0].startswith("channels equalized after")


def test_a_model_that_does_not_need_it_stays_as_it_is():
    needy = chain(spread=64.0)
    model, _ = equalize(needy, plan_of(needy), images())
    plan = plan_of(model)
    assert equalize(model, plan, images()) == (model, [])
    state = RecoveryState(
        model, plan, Ranges([calibrate(model, images()).statistics]), lambda: iter(images()), 10_000
    )
    recover(state, ["cross-layer-equalization"])
    assert state.model is model
    assert state.plan is plan


def test_channels_that_reach_six_keep_their_scale():
    model = chain(RELU6, spread=64.0)
    first = model.main.ops[0]
    first.inputs[2].data = first.inputs[2].data.copy()
    first.inputs[2].data[0] = 20.0
    twin, changed = equalize(model, plan_of(model), images())
    assert changed
    np.testing.assert_array_equal(twin.main.ops[0].inputs[1].data[0], first.inputs[1].data[0])
    wanted = outputs(model, images())
    np.testing.assert_allclose(outputs(twin, images()), wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def bias_to_weights(op):
    weights = np.abs(op.inputs[1].data).reshape(len(op.inputs[1].data), -1).max(axis=1)
    return np.abs(op.inputs[2].data) / weights


def test_high_biases_go_to_the_next_layer():
    model = chain(lift=40.0)
    plan = plan_of(model)
    twin, changed = equalize(model, plan, images())
    assert changed
    before, after = (bias_to_weights(m.main.ops[2]) for m in (model, twin))
    assert after.max() < 0.5 * before.max()
    assert error_db(twin, plan_of(twin), model) > error_db(model, plan, model) + 3.0

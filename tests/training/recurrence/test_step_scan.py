"""Written-out steps of a recurrent layer are one scan, with the values of the steps one by one."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.backend_gradients import value_and_gradients, with_variables  # noqa: E402 - after the check for Keras
from support.graph_builder import Builder  # noqa: E402 - after the check for Keras
from support.quantized_models import planned, samples_of  # noqa: E402 - after the check for Keras
from tightfit.training.export import export  # noqa: E402 - after the check for Keras
from tightfit.training.network import Network  # noqa: E402 - after the check for Keras

STEPS, DEPTH, UNITS = 6, 3, 4


@cache
def recurrent(*, shared: bool = True, backwards: bool = False):
    """h ← tanh(W x + a + R h + b) · ½ + ½ h, written out; outputs are the last state and all states."""
    b = Builder(1, STEPS, DEPTH)
    w, r = (b.constant(b.random.normal(0, 0.7, (UNITS, n))) for n in (DEPTH, UNITS))
    a, c = (b.constant(b.random.normal(0, 0.2, UNITS)) for _ in range(2))
    half, h, states = b.constant(0.5), None, []
    for t in range(STEPS):
        place = STEPS - 1 - t if backwards else t
        x = b.op("SLICE", b.x, [0, place, 0], [1, 1, DEPTH], shape=(1, 1, DEPTH))
        y = b.op("FULLY_CONNECTED", b.reshape(x, 1, DEPTH), w, a, shape=(1, UNITS))
        if h is not None:
            weights = r if shared else b.constant(b.random.normal(0, 0.7, (UNITS, UNITS)))
            y = b.op("ADD", y, b.op("FULLY_CONNECTED", h, weights, c, shape=(1, UNITS)), shape=(1, UNITS))
        y = b.op("MUL", b.op("TANH", y, shape=(1, UNITS)), half, shape=(1, UNITS))
        h = y if h is None else b.op("ADD", y, b.op("MUL", h, half, shape=y.shape), shape=y.shape)
        states.append(h)
    every = b.op("CONCATENATION", *states, shape=(1, STEPS * UNITS), axis=1)
    return b.model(h, every)


def network_of(model, scheme, **options):
    plan = None if scheme is None else planned(model, scheme, samples_of(model, 6))
    return Network(model, plan, check=scheme is None, **options)


def one_by_one(network):
    """The same network without scans."""
    network.program.order = list(range(len(network.source.main.ops)))
    return network


def loss_of(network, x):
    def loss(values):
        with with_variables(network.trainable_variables, values):
            outputs = network.tensors(x, network.output_tensors.values(), training=True)
            return sum(keras.ops.sum(keras.ops.sin(3.0 * y)) for y in outputs)

    return loss


@pytest.mark.parametrize(("scheme", "backwards"), [(None, True), ("int8", False)])
def test_values_and_gradients_are_those_of_the_steps_one_by_one(scheme, backwards):
    model = recurrent(backwards=backwards)
    network = network_of(model, scheme)
    (scan,) = network.program.scans
    assert len(scan.steps.members) == STEPS - 3
    x = np.random.default_rng(3).normal(size=(2, STEPS, DEPTH)).astype(np.float32)
    start = [keras.ops.convert_to_numpy(v.value) for v in network.trainable_variables]
    found = value_and_gradients(loss_of(network, x), start)
    expected = value_and_gradients(loss_of(one_by_one(network), x), start)
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    for ours, other in zip(found[1], expected[1], strict=True):
        # float32 sums over the steps in another order
        np.testing.assert_allclose(ours, other, atol=1e-5 * max(1.0, float(np.abs(other).max())))


def test_tensors_inside_of_a_scan_can_be_read():
    network = network_of(recurrent(), "int8")
    (scan,) = network.program.scans
    inner = [network.source.main.ops[members[-1]].outputs[0] for members in scan.steps.members]
    x = np.ones((3, STEPS, DEPTH), np.float32)
    found = network.tensors(x, inner)
    for ours, other in zip(found, one_by_one(network).tensors(x, inner), strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(other))


def test_steps_with_weights_of_their_own_stay_apart():
    assert network_of(recurrent(shared=False), None).program.scans == []


def test_moving_averages_follow_every_step():
    assert network_of(recurrent(), "int8", ranges="average").program.scans == []


def test_a_scan_trains_and_is_exported():
    network = network_of(recurrent(), "int8")
    x = np.random.default_rng(0).normal(size=(8, STEPS, DEPTH)).astype(np.float32)
    network.compile("adam", dict.fromkeys(network.output_tensors, "mse"))
    y = {name: np.zeros((8, t.shape[-1]), np.float32) for name, t in network.output_tensors.items()}
    losses = network.fit(x, y, epochs=3, batch_size=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model, plan = export(network)
    assert plan is not None
    assert len(model.main.ops) == len(network.source.main.ops)

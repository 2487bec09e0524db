"""What was trained is what the file holds."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import Builder  # noqa: E402 - after the check for Keras
from support.quantized_models import MODELS, distance, planned, samples_of, written  # noqa: E402 - after the check
from tightfit.graph.reader import read_model  # noqa: E402
from tightfit.quantization.apply import apply_plan  # noqa: E402
from tightfit.training.export import export  # noqa: E402
from tightfit.training.network import Network  # noqa: E402
from tightfit.training.simulation.simulate_ops import simulate  # noqa: E402
from tightfit.training.transforms.weight_transforms import Cluster, Mask  # noqa: E402


def stacked(samples):
    return np.concatenate([s.inputs["image"] for s in samples])


def train(network, samples, steps=3):
    """A few steps towards random classes: enough to move everything."""
    x = stacked(samples)
    classes = int(network(x[:1]).shape[-1])
    y = np.arange(len(x)) % classes
    network.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    return network.fit(x, y, batch_size=4, epochs=steps, verbose=0, shuffle=False)


def integers(model):
    """Name → integers of the weights of an applied plan."""
    return {
        t.name: t.data
        for t in model.main.tensors()
        if t.data is not None and t.dtype == "int8" and t.size > 200
    }


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_an_untrained_network_exports_the_plan_it_was_given(scheme):
    model = MODELS["residual"]()
    plan = planned(model, scheme, samples_of(model, 4))
    twin, found = export(Network(model, plan, check=False))
    before, after = apply_plan(model, plan).main.tensors(), apply_plan(twin, found).main.tensors()
    for a, b in zip(before, after, strict=True):
        assert (a.name, a.dtype, a.shape) == (b.name, b.dtype, b.shape)
        if a.data is not None and a.dtype in ("int8", "int32", "int64"):
            np.testing.assert_allclose(a.data.astype(np.int64), b.data.astype(np.int64), rtol=1e-6, atol=1)
            assert a.dtype != "int8" or (a.data == b.data).all()


@pytest.mark.parametrize("ranges", ["learned", "average", "fixed"])
@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_a_trained_network_is_its_file(scheme, ranges, tmp_path):
    model = MODELS["residual"]()
    samples = samples_of(model, 8)
    network = Network(model, planned(model, scheme, samples), ranges=ranges, check=False)
    before = [keras.ops.convert_to_numpy(v) for v in network.trainable_variables]
    train(network, samples)
    assert any(
        distance(a, keras.ops.convert_to_numpy(v)) > 0
        for a, v in zip(before, network.trainable_variables, strict=True)
    )
    twin, plan = export(network)
    path = written(twin, plan, samples, tmp_path)
    found = simulate(twin, plan, path, samples)
    assert found.largest_steps <= 1
    # The trained network itself gives what the exported model gives.
    again = Network(twin, plan, ranges="fixed", check=False)
    step = max(s.scale[0] for forms in plan.graphs[0].tensors.values() for s in forms.values())
    a, b = (keras.ops.convert_to_numpy(n(stacked(samples))) for n in (network, again))
    assert distance(a, b) <= step


@pytest.mark.parametrize("per", ["tensor", "channel"])
def test_zeros_stay_zeros_and_clusters_stay_clusters_in_the_integers(per, tmp_path):
    model = MODELS["residual"]()
    samples = samples_of(model, 8)
    plan = planned(model, "int8", samples)
    network = Network(
        model,
        plan,
        [Mask(0.75, smallest=200, depthwise=True), Cluster(8, per=per, smallest=200)],
        check=False,
    )
    train(network, samples)
    twin, trained = export(network)
    path = written(twin, trained, samples, tmp_path)
    found = integers(read_model(path))
    assert found
    for values in found.values():
        rows = values.reshape(values.shape[0], -1) if per == "channel" else [values]
        if per == "channel" and values.shape[0] == 1:  # depthwise: channels are last
            rows = values.reshape(-1, values.shape[-1]).T
        assert max(len(np.unique(r)) for r in rows) <= 8
        assert (values == 0).mean() >= 0.75


def test_masks_and_clusters_hold_in_a_float_model():
    model = MODELS["conv"]()
    network = Network(model, None, [Mask(0.5, "2:4", smallest=200), Cluster(4, smallest=200)], check=False)
    train(network, samples_of(model, 8))
    twin, plan = export(network)
    assert plan is None
    large = [t.data for t in twin.main.tensors() if t.data is not None and t.size > 200]
    assert large
    for values in large:
        assert len(np.unique(values)) <= 4
        groups = values.reshape(values.shape[0], -1)[:, : values[0].size // 4 * 4].reshape(-1, 4)
        assert ((groups != 0).sum(1) <= 2).all()


def shared_dense():
    """Three dense layers of one weight tensor, as the steps of an unrolled recurrent layer."""
    b = Builder()
    x = b.input("image", [1, 24])
    weight = b.weights("shared", 24, 24)
    for _ in range(3):
        x = b.op(
            "FULLY_CONNECTED", [x, weight, b.weights("bias", 24)], [1, 24], table="FullyConnectedOptions"
        )
        x = b.op("TANH", [x], [1, 24])
    return b.model(b.softmax(x))


@pytest.mark.parametrize("ranges", ["learned", "average"])
def test_shared_weights_have_one_scale_and_are_stored_once(ranges, tmp_path):
    model = shared_dense()
    samples = samples_of(model, 8)
    network = Network(model, planned(model, "int8", samples), ranges=ranges, check=False)
    quantizers = network.graph_weights.quantizers
    assert len(quantizers) == 3
    assert len(set(quantizers.values())) == 1
    train(network, samples)
    twin, plan = export(network)
    stored = [t for t in apply_plan(twin, plan).main.tensors() if t.dtype == "int8" and t.data is not None]
    assert len([t for t in stored if t.size == 576]) == 1
    path = written(twin, plan, samples, tmp_path)
    assert simulate(twin, plan, path, samples).largest_steps <= 1


def test_a_shared_scale_has_room_for_the_largest_bias():
    """Its layers read inputs of other scales and have other biases: the largest that one needs is taken."""
    model = shared_dense()
    network = Network(model, planned(model, "int8", samples_of(model, 4)), check=False)
    biases = [v for t, v in network.graph_weights.variables.items() if t.shape == (24,)]
    biases[1].assign(np.full(24, 1e7, np.float32))
    weights = network.graph_weights
    found = [keras.ops.convert_to_numpy(weights.scales(*use, {})) for use in weights.quantizers]
    np.testing.assert_array_equal(found[0], found[1])
    scale = float(keras.ops.convert_to_numpy(network.program.input_scale(2, {})))
    assert (found[0] * scale * 2.0**30 >= 1e7 * (1 - 1e-6)).all()

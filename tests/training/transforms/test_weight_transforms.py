"""Zeros stay exact zeros and clusters stay clusters, whatever training does to the weights."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import NONE, Builder, residual_net  # noqa: E402 - after the check for Keras
from support.quantized_models import planned, samples_of  # noqa: E402 - after the check for Keras
from tightfit.errors import OptionError  # noqa: E402 - after the check for Keras
from tightfit.graph.sparsity import dense_values  # noqa: E402 - after the check for Keras
from tightfit.quantization.apply import apply_plan  # noqa: E402 - after the check for Keras
from tightfit.training.export import export  # noqa: E402 - after the check for Keras
from tightfit.training.network import Network  # noqa: E402 - after the check for Keras
from tightfit.training.transforms.sparsity_schedules import SCHEDULES, Constant, OneShot, Polynomial  # noqa: E402 - after the check for Keras
from tightfit.training.transforms.weight_transforms import Cluster, Mask, check_order, check_sites  # noqa: E402 - after the check
from tightfit.weights.patterns import keep, keep_globally  # noqa: E402 - after the check for Keras


@cache
def pointwise():
    """A 1×1 convolution and a dense layer behind it."""
    b = Builder()
    y = b.conv(b.input("image", [1, 4, 4, 24]), 32, kernel=1, activation=NONE)
    return b.model(b.dense(b.mean(y), 16))


@cache
def plan_of(scheme):
    return None if scheme is None else planned(pointwise(), scheme, samples_of(pointwise(), 4))


def weights_of(model):
    """The kernels as they are stored."""
    found = [t for t in model.main.tensors() if t.is_constant and len(t.shape) > 1 and t.size > 200]
    assert len(found) == 2
    return {t.name: dense_values(t) for t in found}


def disturbed(network, seed):
    """Moves every trained variable as training might, and further."""
    random = np.random.default_rng(seed)
    for variable in network.trainable_variables:
        values = np.asarray(keras.ops.convert_to_numpy(variable))
        size = 0.3 if variable.path.endswith("stretch") else 0.5 * np.abs(values).max() + 0.01
        variable.assign(values + random.standard_normal(values.shape).astype(np.float32) * size)
    return network


def stored(network, scheme):
    model, plan = export(network)
    return weights_of(model if scheme is None else apply_plan(model, plan))


@settings(deadline=None, max_examples=12)
@given(
    scheme=st.sampled_from([None, "int8", "int16x8", "int8x4"]),
    sparsity=st.sampled_from([0.5, 0.8, 0.95]),
    clusters=st.integers(2, 20),
    initial=st.sampled_from(["linear", "density", "kmeans++"]),
    per=st.sampled_from(["tensor", "channel"]),
    seed=st.integers(0, 100),
)
def test_masks_and_clusters_survive_in_the_stored_values(scheme, sparsity, clusters, initial, per, seed):
    transforms = [Mask(sparsity, smallest=200), Cluster(clusters, initial, per, smallest=200)]
    network = disturbed(Network(pointwise(), plan_of(scheme), transforms, check=False), seed)
    masks = {w.name: np.asarray(keras.ops.convert_to_numpy(m)) for w, m in transforms[0].sites}
    for name, values in stored(network, scheme).items():
        assert not values[masks[name] == 0].any()
        assert (values == 0).mean() >= sparsity - 1 / values.size
        rows = values.reshape(values.shape[0], -1) if per == "channel" else [values]
        assert max(len(np.unique(row)) for row in rows) <= clusters


def test_the_sparsity_of_a_file_is_that_of_all_its_large_weights():
    """The dense layer of 512 weights stays dense; the convolution of 768 makes up for it."""
    mask = Mask(0.5, scope="file", smallest=700)
    kernels = stored(Network(pointwise(), None, [mask], check=False), None)
    zeros = {values.size: int((values == 0).sum()) for values in kernels.values()}
    assert zeros == {768: 640, 512: 0}
    assert sum(zeros.values()) == 0.5 * (768 + 512)


@pytest.mark.parametrize("pattern", ["2:4", "1x4", "1x16", "4x1"])
def test_patterns_survive_in_the_integers(pattern):
    transforms = [Mask(0.5, pattern, smallest=200)]
    network = disturbed(Network(pointwise(), plan_of("int8"), transforms, check=False), 1)
    for values in stored(network, "int8").values():
        matrix = values.reshape(values.shape[0], -1)
        if pattern == "2:4":
            assert ((matrix.reshape(-1, 4) != 0).sum(1) <= 2).all()
            continue
        height, width = (int(n) for n in pattern.split("x"))
        blocks = matrix[:, : matrix.shape[1] // width * width]
        blocks = blocks.reshape(matrix.shape[0] // height, height, -1, width)
        assert (~blocks.any((1, 3))).mean() >= 0.45


@pytest.mark.parametrize(("make", "said"), [(Mask, "Nothing to prune"), (Cluster, "Nothing to cluster")])
def test_a_transform_that_finds_no_weights_is_refused(make, said):
    amount = 0.5 if make is Mask else 8
    enough, none = make(amount, smallest=600), make(amount, smallest=800)
    for each in (enough, none):
        Network(pointwise(), None, [each], check=False)
    check_sites([enough])
    with pytest.raises(OptionError, match=f"{said}: no weights with at least 800 elements"):
        check_sites([none])


def test_without_keep_zeros_no_value_need_be_zero():
    network = Network(pointwise(), None, [Cluster(4, "linear", keep_zeros=False, smallest=200)], check=False)
    for values in stored(network, None).values():
        assert len(np.unique(values)) <= 4
        assert (values == 0).mean() < 0.05


def test_pruned_weights_stay_zero_when_clustering_keeps_zeros():
    model = pointwise()
    before = stored(Network(model, None, [Mask(0.8, smallest=200)], check=False), None)
    transforms = [Mask(0.8, smallest=200), Cluster(8, smallest=200)]
    after = stored(Network(model, None, transforms, check=False), None)
    for name, values in before.items():
        assert (after[name][values == 0] == 0).all()


@pytest.mark.parametrize("scheme", [None, "int8"])
def test_gradients_reach_centroids_and_weights(scheme):
    cluster = Cluster(8, smallest=200)
    network = Network(pointwise(), plan_of(scheme), [cluster], check=False)
    network.compile(keras.optimizers.SGD(0.1), "mean_squared_error")
    before = [np.asarray(keras.ops.convert_to_numpy(v)) for v in network.trainable_variables]
    x = np.concatenate([s.inputs["image"] for s in samples_of(pointwise(), 4)])
    network.fit(x, np.ones((4, 16)), batch_size=4, epochs=1, verbose=0)
    moved = {
        v.path: float(np.abs(np.asarray(keras.ops.convert_to_numpy(v)) - b).max())
        for v, b in zip(network.trainable_variables, before, strict=True)
    }
    assert len(cluster.trained) == 2
    assert all(moved[v.path] > 0 for v in cluster.trained)
    assert all(d > 0 for path, d in moved.items() if path.endswith("filter"))


@pytest.mark.parametrize("depthwise", [False, True])
def test_depthwise_weights_are_pruned_on_demand_only(depthwise):
    mask = Mask(0.5, smallest=200, depthwise=depthwise)
    Network(residual_net(), None, [mask], check=False)
    kinds = {weight.op.kind for weight, _ in mask.sites}
    assert ("DEPTHWISE_CONV_2D" in kinds) == depthwise
    assert "CONV_2D" in kinds
    again = Mask.from_config(mask.get_config())
    assert (again.depthwise, again.smallest, again.schedule) == (depthwise, 200, OneShot(0.5))


def test_global_sparsity_takes_more_from_flatter_weights():
    random = np.random.default_rng(0)
    peaked = random.standard_normal(1000) * np.where(random.random(1000) < 0.1, 10.0, 0.01)
    masks = keep_globally([random.uniform(0.5, 1.0, 1000), peaked], 0.5)
    assert np.mean(np.concatenate(masks)) == pytest.approx(0.5, abs=1e-3)
    assert masks[0].mean() > masks[1].mean()


def test_a_pruned_layer_keeps_its_largest():
    values = np.random.default_rng(0).standard_normal((8, 5, 5, 3))
    kept = keep(values, 0.75, "unstructured", 0)
    assert np.abs(values[kept]).min() >= np.abs(values[~kept]).max()


def test_schedules_reach_their_sparsity():
    ramp = Polynomial(0.9, begin=10, end=20, initial=0.3)
    steps = [ramp(s) for s in range(30)]
    assert steps == sorted(steps)
    assert (steps[10], steps[25]) == (pytest.approx(0.3), 0.9)
    assert [Constant(0.4, begin=3)(s) for s in (2, 3, 99)] == [0.0, 0.4, 0.4]
    assert [OneShot(0.4, step=3)(s) for s in (2, 3)] == [0.0, 0.4]
    for make in SCHEDULES.values():
        assert make(0.8, 50)(50) == 0.8


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Mask(80), "Did you mean 0.8"),
        (lambda: Mask(0.5, "4:2"), "Unknown pattern '4:2'"),
        (lambda: Mask(0.5, "2:4", scope="global"), "Global sparsity is unstructured"),
        (lambda: Mask(0.8, "2:4"), "leaves at most 0.5 of zeros; received the sparsity 0.8"),
        (lambda: Cluster(1), "at least 2 values; received 1"),
        (lambda: Cluster(8, "k-means"), "kmeans\\+\\+"),
        (lambda: check_order([Cluster(8), Mask(0.5)]), "received Cluster, Mask"),
        (lambda: Network(pointwise(), None, [Cluster(4096)], check=False), "4096 clusters are no fewer"),
    ],
)
def test_wrong_transforms_are_refused(wrong, message):
    with pytest.raises(OptionError, match=message):
        wrong()

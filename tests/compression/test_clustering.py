"""Clustered weights: few values, zeros kept, integers shared by channels, what cannot be is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.models import Builder
from support.recurrent_models import lstm_layer
from tightfit.compression.clustering import PER, Clusters, cluster_weights, shared_values
from tightfit.compression.lookup_tables import saved_bytes, table_bytes
from tightfit.compression.sparsity.pruning import Pruning, prune_weights
from tightfit.errors import OptionError
from tightfit.graph.ir import Tensor
from tightfit.quantization.arithmetic import quantize
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.plan import Storage
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.weights.centroids import INITIAL


@given(
    st.integers(2, 40), st.sampled_from(PER), st.sampled_from(list(INITIAL)), st.floats(0.0, 0.9),
    st.integers(0, 100),
)  # fmt: skip
def test_there_are_no_more_values_than_asked_and_zeros_stay(count, per, initial, zeros, seed):
    random = np.random.default_rng(seed)
    values = random.normal(size=(8, 5, 6)).astype(np.float32)
    values[random.random(values.shape) < zeros] = 0
    shared = shared_values(values, Clusters(count, per, initial), 0)
    parts = [shared] if per == "tensor" else list(shared)
    assert max(np.unique(part).size for part in parts) <= count
    assert (shared[values == 0] == 0).all()


@given(st.integers(2, 40), st.integers(0, 100))
def test_integers_that_all_channels_share_stay_as_few_in_the_file(count, seed):
    random = np.random.default_rng(seed)
    values = (random.normal(size=(6, 50)) * np.geomspace(0.01, 10, 6)[:, None]).astype(np.float32)
    scale = tuple((np.abs(values).max(axis=1) / 127).tolist())
    storage = Storage("int8", scale, (0,) * 6, axis=0, narrow=True)
    shared = shared_values(values, Clusters(count), 0, storage)
    stored = quantize(shared, storage.scale, storage.zero_point, "int8", 0, narrow=True)
    assert np.unique(stored).size <= count
    np.testing.assert_allclose(stored * np.float32(scale)[:, None], shared, rtol=1e-5, atol=1e-9)


def test_kmeans_finds_values_that_are_few_already():
    values = np.random.default_rng(0).choice(np.float32([-2.5, -1.0, 0.25, 3.0]), (16, 64))
    np.testing.assert_allclose(shared_values(values, Clusters(4), 0), values, rtol=1e-6)


def dense(weights):
    b = Builder()
    x = b.input("x", [1, weights.shape[1]])
    w = b.constant("w", weights, "float32")
    return b.model(
        b.op("FULLY_CONNECTED", [x, w, None], [1, weights.shape[0]], table="FullyConnectedOptions")
    )


def test_only_large_weights_are_clustered_and_the_model_is_not_changed():
    model = dense(np.random.default_rng(0).normal(size=(32, 40)).astype(np.float32))
    before = model.main.find("w").data.copy()
    done = cluster_weights(model, Clusters(16))
    assert [(layer.kind, layer.values) for layer in done.layers] == [("FULLY_CONNECTED", 16)]
    assert 0 < done.layers[0].error < 0.02
    assert (model.main.find("w").data == before).all()
    assert np.unique(done.model.main.find("w").data).size == 16


def test_a_plan_puts_the_values_on_its_grid():
    model = dense(np.random.default_rng(0).normal(size=(32, 40)).astype(np.float32))
    plan = make_plan(model, find_scheme("weight8"), Ranges([]))
    storage = plan.ops()[0].constants[1]
    shared = cluster_weights(model, Clusters(8), plan).model.main.find("w").data
    stored = quantize(shared, storage.scale, storage.zero_point, "int8", storage.axis, narrow=True)
    assert np.unique(stored).size <= 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 1}, "Received 1 clusters; expected 2 to 256"),
        ({"count": 16, "per": "chanel"}, "Did you mean 'channel'"),
        ({"count": 16, "initial": "kmeans"}, r"Did you mean 'kmeans\+\+'"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(OptionError, match=message):
        Clusters(**changes)


def test_a_model_of_small_weights_is_refused():
    with pytest.raises(OptionError, match="Nothing to cluster: no weight has more than 256 values"):
        cluster_weights(dense(np.ones((4, 5), np.float32)), Clusters(4))


def test_tables_take_bits_for_each_value_and_too_many_values_stay_as_they_are():
    random = np.random.default_rng(0)
    few = Tensor("few", (64, 64), "int8", random.integers(0, 5, (64, 64)).astype(np.int8))
    many = Tensor("many", (64, 64), "int8", random.integers(-127, 128, (64, 64)).astype(np.int8))
    assert table_bytes(few) == 64 * 64 * 3 // 8 + 5
    assert table_bytes(many) == 64 * 64


def test_what_tables_save_counts_shared_memory_once():
    weights = np.random.default_rng(0).choice(np.float32([1, 2]), (32, 40))
    model = dense(weights)
    assert saved_bytes(model) == weights.nbytes - (32 * 40 // 8 + 2 * 4)


def test_the_weights_of_an_lstm_are_pruned_and_clustered_gate_by_gate():
    model = lstm_layer(4, 20, 24)
    pruned = prune_weights(model, Pruning(0.5))
    assert [round(layer.zeros, 2) for layer in pruned.layers] == [0.5] * 8
    assert len({layer.name for layer in pruned.layers}) == 8
    clustered = cluster_weights(pruned.model, Clusters(16))
    assert all(layer.values <= 16 for layer in clustered.layers)
    assert len(clustered.layers) == 8

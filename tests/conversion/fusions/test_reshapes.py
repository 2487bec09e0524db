"""1-D networks stay in four dimensions; LiteRT computes the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.graph_builder import Builder, assert_fires, assert_refuses, assert_same, kinds
from tightfit.conversion.fusions.lifting import alignments
from tightfit.conversion.fusions.reshapes import keep_four_dimensions
from tightfit.graph.copying import copy_model


def test_two_layers_keep_the_four_dimensions_between_them():
    b = Builder(1, 16, 3)
    y = b.conv_1d(b.conv_1d(b.x, 4, 3), 5, 3)
    assert_fires(keep_four_dimensions, b.model(y), ["RESHAPE", "CONV_2D", "CONV_2D", "RESHAPE"])


def test_one_layer_takes_its_bias_and_activation():
    b = Builder(1, 16, 3)
    model = b.model(b.conv_1d(b.x, 4, 3))
    assert_fires(keep_four_dimensions, model, ["RESHAPE", "CONV_2D", "RESHAPE"])
    assert model.main.ops[1].options["fusedActivationFunction"] == 1


def gated(b, y):
    n, _, c = y.shape
    mean = b.op("MEAN", y, [1], shape=(n, 1, c), keepDims=True)
    gate = b.op("FULLY_CONNECTED", mean, np.eye(c), None, shape=(n, 1, c), keepNumDims=True)
    return b.op("MUL", y, b.op("LOGISTIC", gate, shape=(n, 1, c)), shape=y.shape)


def centred(b, y):
    return b.op("SUB", y, b.op("MEAN", y, [2], shape=(*y.shape[:2], 1), keepDims=True), shape=y.shape)


def doubled(b, y):
    n, t, c = y.shape
    return b.op("CONCATENATION", y, b.op("TANH", y, shape=y.shape), shape=(n, t, 2 * c), axis=-1)


def padded(b, y):
    n, t, c = y.shape
    return b.op("PAD", y, [[0, 0], [2, 1], [0, 0]], shape=(n, t + 3, c))


def sliced(b, y):
    n, t, c = y.shape
    return b.op("SLICE", y, [0, 1, 0], [-1, t - 2, -1], shape=(n, t - 2, c))


def strided(b, y):
    n, t, c = y.shape
    ends = [0, 1, 0], [0, t, 0], [1, 2, 1]
    return b.op("STRIDED_SLICE", y, *ends, shape=(n, t // 2, c), beginMask=5, endMask=5)


BETWEEN = {
    "squeeze and excite": gated,
    "centred": centred,
    "joined along channels": doubled,
    "joined along length": lambda b, y: b.op(
        "CONCATENATION", y, y, shape=(y.shape[0], 2 * y.shape[1], y.shape[2]), axis=1
    ),
    "padded": padded,
    "sliced": sliced,
    "strided": strided,
    "slopes": lambda b, y: b.op("PRELU", y, b.random.uniform(0, 1, (1, y.shape[2])), shape=y.shape),
    "softmax": lambda b, y: b.op("SOFTMAX", y, shape=y.shape, beta=1.0),
    "tanh": lambda b, y: b.op("TANH", y, shape=y.shape),
    "negated": lambda b, y: b.op("NEG", y, shape=y.shape),
}  # an op, or a few, of three dimensions between two layers


@pytest.mark.parametrize("kind", BETWEEN)
def test_no_reshape_is_left_around_an_op_between_layers(kind):
    b = Builder(2, 16, 3)
    y = b.conv_1d(BETWEEN[kind](b, b.conv_1d(b.x, 4, 3)), 5, 3)
    model = b.model(y)
    assert_fires(keep_four_dimensions, model)
    assert kinds(model).count("RESHAPE") == 2


def test_a_residual_between_layers_is_kept_in_four_dimensions():
    b = Builder(1, 16, 3)
    first = b.conv_1d(b.x, 4, 3, padding=0)
    second = b.conv_1d(first, 4, 3, padding=0)
    total = b.op("ADD", first, second, shape=first.shape)
    model = b.model(b.conv_1d(total, 2, 3))
    assert_fires(keep_four_dimensions, model, ["RESHAPE", "CONV_2D", "CONV_2D", "ADD", "CONV_2D", "RESHAPE"])


@pytest.mark.parametrize("kind", ["MEAN", "SUM", "REDUCE_MAX"])
def test_a_global_reduction_drops_the_added_dimension(kind):
    b = Builder(1, 16, 3)
    y = b.op(kind, b.conv_1d(b.x, 4, 3), [1], shape=(1, 4))
    assert_fires(keep_four_dimensions, b.model(y), ["RESHAPE", "CONV_2D", kind])


def test_expand_dims_and_squeeze_count_as_reshapes():
    b = Builder(1, 16, 3)
    y = b.op("EXPAND_DIMS", b.x, 2, shape=(1, 16, 1, 3))
    y = b.op("SQUEEZE", b.conv(y, 4, 3), shape=(1, 14, 4), squeezeDims=[2])
    y = b.op("EXPAND_DIMS", b.op("TANH", y, shape=y.shape), 2, shape=(1, 14, 1, 4))
    assert_fires(keep_four_dimensions, b.model(b.conv(y, 2, 3)), ["RESHAPE", "CONV_2D", "TANH", "CONV_2D"])


def test_a_graph_that_gets_no_smaller_stays_as_it_is():
    b = Builder(1, 16, 3)
    y = b.op("TANH", b.reshape(b.conv(b.reshape(b.x, 1, 16, 1, 3), 4, 3), 1, 14, 4), shape=(1, 14, 4))
    assert_refuses(keep_four_dimensions, b.model(y))


def test_a_reshape_that_mixes_dimensions_is_no_lost_one():
    assert alignments((1, 30, 1, 8), (1, 8, 30)) == []
    assert alignments((1, 30, 1, 1), (1, 30, 1)) == [(0, 1, 2), (0, 1, 3)]


def test_a_free_batch_stays_free():
    b = Builder(1, 16, 3)
    model = b.model(b.conv_1d(b.conv_1d(b.x, 4, 3), 5, 3))
    for tensor in model.main.tensors():
        if not tensor.is_constant:
            tensor.shape_signature = (-1, *tensor.shape[1:])
    for op in model.main.ops:
        if op.kind == "RESHAPE":
            op.inputs[1].data = np.asarray([-1, *op.outputs[0].shape[1:]], np.int32)
    before = copy_model(model)
    assert keep_four_dimensions(model)
    assert kinds(model) == ["RESHAPE", "CONV_2D", "CONV_2D", "RESHAPE"]
    for wide in (before, model):
        wide.main.inputs[0].shape = (5, 16, 3)
    assert_same(before, model)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(sorted(BETWEEN)), min_size=1, max_size=4), st.integers(1, 2))
def test_any_chain_of_ops_computes_the_same(chain, images):
    b = Builder(images, 24, 2)
    y = b.conv_1d(b.x, 3, 3)
    for kind in chain:
        y = BETWEEN[kind](b, y)
    model = b.model(b.conv_1d(y, 2, 2))
    assert_fires(keep_four_dimensions, model)

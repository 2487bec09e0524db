"""Epilogues, slopes, repetition, twins and folded strides: each fires, refuses, and computes the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from support.graph_builder import Builder, assert_fires, assert_refuses, kinds
from tightfit.conversion.fusions.epilogues import fuse_epilogues
from tightfit.conversion.fusions.slopes import fuse_slopes
from tightfit.conversion.fusions.twins import merge_twins
from tightfit.conversion.fusions.upsampling import resize_repeated
from tightfit.conversion.windows.stride_folding import fold_strides
from tightfit.graph.ir import Op, Tensor


def layer(b, kind):
    """A layer with four output channels on the builder's input."""
    if kind == "FULLY_CONNECTED":
        return b.op(kind, b.x, b.random.normal(0, 1, (4, b.x.shape[-1])), None, shape=(*b.x.shape[:-1], 4),
                    keepNumDims=True)  # fmt: skip
    if kind == "CONV_2D":
        return b.conv(b.x, 4, 3)
    weights = b.random.normal(0, 1, (1, 3, 1, 4))
    return b.op(kind, b.x, weights, np.ones(4), shape=(1, 14, 1, 4), padding=1, strideH=1, strideW=1,
                depthMultiplier=2, dilationHFactor=1, dilationWFactor=1)  # fmt: skip


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_bias_scale_and_activation_go_into_the_layer(kind):
    b = Builder(1, 16, 1, 2)
    y = layer(b, kind)
    for op in ("ADD", "MUL", "SUB", "DIV"):
        y = b.op(op, y, b.random.uniform(0.5, 2, (1, 4)), shape=y.shape)
    y = b.op("RELU6", b.op("MUL", y, 0.5, shape=y.shape), shape=y.shape)
    model = b.model(y)
    assert_fires(fuse_epilogues, model, [kind])
    assert model.main.ops[0].options["fusedActivationFunction"] == 3


def test_an_activation_ends_what_a_layer_takes():
    b = Builder(1, 16, 1, 2)
    y = layer(b, "CONV_2D")
    y = b.op("ADD", b.op("RELU", y, shape=y.shape), np.ones(4), shape=y.shape)
    assert_fires(fuse_epilogues, b.model(y), ["CONV_2D", "ADD"])


def test_a_result_that_others_read_is_left_alone():
    b = Builder(1, 16, 1, 2)
    y = layer(b, "CONV_2D")
    assert_refuses(fuse_epilogues, b.model(y, b.op("RELU", y, shape=y.shape)))


def test_an_operand_along_another_dimension_is_left_alone():
    b = Builder(1, 6, 1, 2)
    y = layer(b, "CONV_2D")
    assert y.shape == (1, 4, 1, 4)
    assert_refuses(fuse_epilogues, b.model(b.op("ADD", y, np.ones((4, 1, 1)), shape=y.shape)))


def test_shared_weights_are_not_scaled():
    b = Builder(1, 16, 1, 2)
    one = layer(b, "CONV_2D")
    twin = Tensor("twin", one.shape)
    op = one.producer
    b.graph.append(Op("CONV_2D", op.inputs, [twin], dict(op.options), op.options_type))
    scaled = b.op("MUL", one, np.full(4, 2.0), shape=one.shape)
    assert_refuses(fuse_epilogues, b.model(scaled, twin))


# -- slopes and twins ------------------------------------------------------------------------------


def test_a_written_out_slope_is_a_prelu():
    b = Builder(2, 8, 3)
    upper = b.op("RELU", b.x, shape=b.x.shape)
    lower = b.op("RELU", b.op("NEG", b.x, shape=b.x.shape), shape=b.x.shape)
    y = b.op("ADD", upper, b.op("MUL", lower, [[[-0.1, -0.2, 0.3]]], shape=b.x.shape), shape=b.x.shape)
    assert_fires(fuse_slopes, b.model(y), ["PRELU"])


def test_a_slope_of_another_tensor_is_left_alone():
    b = Builder(2, 8, 3)
    other = b.op("TANH", b.x, shape=b.x.shape)
    upper = b.op("RELU", b.x, shape=b.x.shape)
    lower = b.op("RELU", b.op("NEG", other, shape=b.x.shape), shape=b.x.shape)
    y = b.op("ADD", upper, b.op("MUL", lower, -0.1, shape=b.x.shape), shape=b.x.shape)
    assert_refuses(fuse_slopes, b.model(y))


def test_a_layer_computed_twice_is_computed_once():
    b = Builder(1, 8, 3)
    weights = b.constant(np.eye(3))
    one, two = (
        b.op(
            "FULLY_CONNECTED",
            b.x,
            weights,
            None,
            shape=b.x.shape,
            keepNumDims=True,
            fusedActivationFunction=a,
        )
        for a in (0, 1)
    )
    assert_fires(
        merge_twins, b.model(b.op("SUB", one, two, shape=b.x.shape)), ["FULLY_CONNECTED", "RELU", "SUB"]
    )


def test_layers_with_other_weights_are_no_twins():
    b = Builder(1, 8, 3)
    one, two = (
        b.op("FULLY_CONNECTED", b.x, np.eye(3) * k, None, shape=b.x.shape, keepNumDims=True) for k in (1, 2)
    )
    assert_refuses(merge_twins, b.model(b.op("SUB", one, two, shape=b.x.shape)))


# -- repetition ------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [(2, 3), (1, 2), (2, 1)])
def test_repeated_rows_and_columns_are_a_resize(times):
    b = Builder(1, 3, 4, 2)
    y = b.reshape(b.x, 1, 3, 1, 4, 2)
    y = b.op("BROADCAST_TO", y, [1, 3, times[0], 4, 2], shape=(1, 3, times[0], 4, 2))
    y = b.reshape(y, 1, 3 * times[0], 4, 1, 2)
    y = b.op("BROADCAST_TO", y, [1, 3 * times[0], 4, times[1], 2], shape=(1, 3 * times[0], 4, times[1], 2))
    y = b.reshape(y, 1, 3 * times[0], 4 * times[1], 2)
    assert_fires(resize_repeated, b.model(y), ["RESIZE_NEAREST_NEIGHBOR"])


def test_a_repeated_line_is_a_resize():
    b = Builder(1, 3, 2)
    y = b.reshape(b.x, 1, 3, 1, 2)
    y = b.reshape(b.op("BROADCAST_TO", y, [1, 3, 2, 2], shape=(1, 3, 2, 2)), 1, 6, 2)
    model = b.model(y)
    assert_fires(resize_repeated, model)
    assert "RESIZE_NEAREST_NEIGHBOR" in kinds(model)


def test_a_tiled_image_is_no_resize():
    b = Builder(1, 3, 4, 2)
    assert_refuses(resize_repeated, b.model(b.op("TILE", b.x, [1, 2, 1, 1], shape=(1, 6, 4, 2))))


# -- strides ---------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(2, 5), st.integers(2, 12), st.integers(1, 4), st.integers(0, 1))
def test_a_folded_stride_computes_the_same(length, stride, window, channels, padding):
    assume(stride <= window and (window <= length or not padding))
    b = Builder(2, length, 1, channels)
    model = b.model(b.conv(b.x, 3, window, stride=stride, padding=padding))
    assert_fires(fold_strides, model)
    assert model.main.ops[-1].options["strideH"] == 1


def test_the_first_layer_of_raw_audio_reads_its_stride_as_channels():
    b = Builder(1, 8000, 1, 1)
    model = b.model(b.conv(b.x, 32, 80, stride=16))
    assert_fires(fold_strides, model, ["RESHAPE", "CONV_2D"])
    assert model.main.ops[1].inputs[1].shape == (32, 5, 1, 16)


def test_many_channels_are_not_folded():
    b = Builder(1, 32, 1, 8)
    assert_refuses(fold_strides, b.model(b.conv(b.x, 3, 4, stride=2)))

"""The rounding of training against the arithmetic of the files, and its gradients against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.backend_gradients import value_and_gradients  # noqa: E402 - after the check for Keras
from tightfit.graph.ops.activations import CLIPS  # noqa: E402 - after the check for Keras
from tightfit.quantization.arithmetic import dequantize, quantize  # noqa: E402 - after the check for Keras
from tightfit.training.fake_quant.fake_quantize import (  # noqa: E402 - after the check for Keras
    PLAIN,
    fake_quantize,
    fake_quantize_sum,
    kernels,
)

X = np.random.default_rng(0).normal(0, 2, (4, 5, 3)).astype(np.float32)


def rounded(x, scale, zero_point=0.0, bottom=-128, top=127):
    return keras.ops.convert_to_numpy(fake_quantize(x, scale, zero_point, bottom, top))


@pytest.mark.parametrize(("scale", "zero_point"), [(0.013, -7), (0.03, 0), (0.0005, 100), (1.7, -128)])
def test_values_are_to_the_bit_those_of_the_file(scale, zero_point):
    scale = np.float32(scale)
    expected = dequantize(quantize(X, scale, zero_point, "int8"), scale, zero_point)
    np.testing.assert_array_equal(rounded(X, scale, float(zero_point)), expected)


def test_every_channel_has_its_own_grid():
    scales = np.float32([0.01, 0.02, 0.04]).reshape(1, 1, 3)
    for channel, scale in enumerate(scales.reshape(-1)):
        whole = rounded(X, scales, bottom=-127)[..., channel]
        np.testing.assert_array_equal(whole, rounded(X[..., channel], scale, bottom=-127))


def test_gradients_pass_inside_of_the_range_and_tell_the_scale_how_to_move():
    scales = np.float32([0.01, 0.02, 0.04]).reshape(1, 1, 3)
    weight = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    _, (of_x, of_scale) = value_and_gradients(
        lambda v: keras.ops.sum(
            fake_quantize(v[0], v[1], 3.0, -128, 127) * keras.ops.convert_to_tensor(weight)
        ),
        [X, scales],
    )
    steps = X * (np.float32(1) / scales)
    low, high = -131.0, 124.0
    inside = (steps >= low) & (steps <= high)
    np.testing.assert_array_equal(of_x, weight * inside)
    terms = weight * np.where(inside, np.rint(steps) - steps, np.clip(steps, low, high))
    # float32 sums of 20 terms of up to 131.
    np.testing.assert_allclose(of_scale, terms.sum((0, 1), keepdims=True), rtol=1e-5, atol=1e-3)
    assert inside.any()
    assert not inside.all()


def test_a_value_far_beyond_the_grid_has_no_gradient_and_spoils_none():
    x = np.array([-3.4e38, -1.0, 0.5, 3.4e38], np.float32)
    _, (values, scale) = value_and_gradients(
        lambda v: keras.ops.sum(fake_quantize(v[0], v[1], 0.0, -128, 127)), [x, np.float32(0.01)]
    )
    assert np.asarray(values).tolist() == [0.0, 1.0, 1.0, 0.0]
    assert np.isfinite(scale)


def test_one_scale_gathers_the_gradient_of_all_values():
    _, (_, of_scale) = value_and_gradients(
        lambda v: keras.ops.sum(fake_quantize(v[0], v[1], 0.0, -128, 127)), [X, np.float32(0.02)]
    )
    steps = X / np.float32(0.02)
    inside = np.abs(steps) <= 127
    expected = np.where(inside, np.rint(steps) - steps, np.clip(steps, -128, 127)).sum()
    assert of_scale.shape == ()
    assert float(of_scale) == pytest.approx(float(expected), rel=1e-4, abs=1e-2)


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_bias_activation_and_rounding_in_one_pass_are_the_three_in_a_row(name):
    bias, scale, (least, most) = np.float32([-0.5, 0.0, 0.7]), np.float32(0.02), CLIPS[name]
    weight = np.random.default_rng(2).normal(size=X.shape).astype(np.float32)

    def weighed(y):
        return keras.ops.sum(y * keras.ops.convert_to_tensor(weight))

    def in_a_row(v):
        total = v[0] + v[1]
        total = total if least is None else keras.ops.maximum(total, least)
        total = total if most is None else keras.ops.minimum(total, most)
        return weighed(fake_quantize(total, v[2], -100.0, -128, 127))

    once = value_and_gradients(
        lambda v: weighed(fake_quantize_sum(v[0], v[1], CLIPS[name], v[2], (-28.0, 227.0))), [X, bias, scale]
    )
    value, gradients = value_and_gradients(in_a_row, [X, bias, scale])
    # float32 sums of 60 terms of up to 6, and of up to 227 steps for the scale.
    np.testing.assert_allclose(once[0], value, rtol=1e-5, atol=1e-4)
    for found, expected in zip(once[1], gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
    assert 0 < np.count_nonzero(once[1][0]) < X.size


@pytest.mark.parametrize("scale", [np.float32(0.02), np.float32([[[0.02, 0.005, 1.0]]])])
def test_what_a_backend_computes_faster_is_the_same(scale):
    x, u = (keras.ops.convert_to_tensor(v) for v in (X, np.random.default_rng(3).normal(size=X.shape)))
    given = [keras.ops.convert_to_tensor(v, "float32") for v in (scale, -100.0, 120.0)]
    u = keras.ops.cast(u, "float32")
    (forward, backward, *_), (plain_forward, plain_backward, *_) = kernels(), PLAIN
    numpy = keras.ops.convert_to_numpy
    np.testing.assert_array_equal(numpy(forward(x, *given)), numpy(plain_forward(x, *given)))
    for found, expected in zip(backward(x, *given, u), plain_backward(x, *given, u), strict=True):
        # Sums of up to 60 terms of up to 120 steps, in another order.
        np.testing.assert_allclose(numpy(found), numpy(expected), rtol=1e-5, atol=60 * 120 * 2.0**-23)

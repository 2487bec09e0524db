"""The rounding of training against the arithmetic of the files, and its gradients against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from backend_gradients import value_and_gradients  # noqa: E402 - after the check for Keras

from tightfit.quantization.arithmetic import dequantize, quantize  # noqa: E402 - after the check for Keras
from tightfit.training.fake_quant import fake_quantize  # noqa: E402 - after the check for Keras

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


def test_one_scale_gathers_the_gradient_of_all_values():
    _, (_, of_scale) = value_and_gradients(
        lambda v: keras.ops.sum(fake_quantize(v[0], v[1], 0.0, -128, 127)), [X, np.float32(0.02)]
    )
    steps = X / np.float32(0.02)
    inside = np.abs(steps) <= 127
    expected = np.where(inside, np.rint(steps) - steps, np.clip(steps, -128, 127)).sum()
    assert of_scale.shape == ()
    assert float(of_scale) == pytest.approx(float(expected), rel=1e-4, abs=1e-2)

"""Functions that Keras writes with complex numbers, bits or comparators convert to plain ops."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.conversion.load_model import load
from tightfit.errors import ModelError

keras = pytest.importorskip("keras", reason="needs keras: the extra 'keras'")
pytest.importorskip("litert_converter", reason="needs litert-converter: the extra 'keras'")
plain = pytest.importorskip("tightfit.conversion.keras.plain_functions", reason="needs jax")
layers = keras.layers


def kinds(model):
    return [op.kind for op in load(model).model.main.ops]


def network(function, shape):
    x = keras.Input(shape)
    return keras.Model(x, function(x))


def test_an_arg_max_is_one_op():
    assert kinds(network(lambda x: keras.ops.argmax(x, axis=-1), (4, 8))) == ["ARG_MAX"]


def test_a_mel_spectrogram_is_a_convolution_and_a_product():
    layer = layers.MelSpectrogram(
        fft_length=64, sequence_stride=32, num_mel_bins=8, sampling_rate=4000, max_freq=2000.0
    )
    found = kinds(network(layer, (256,)))
    assert found.count("CONV_2D") == 1
    assert not any("FFT" in kind or "COMPLEX" in kind for kind in found)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("window", ["hann", None])
def test_the_short_time_transform_is_that_of_keras(center, window):
    x = np.random.default_rng(0).normal(0, 1, (2, 200)).astype(np.float32)
    wanted = keras.ops.stft(x, 24, 10, 32, window=window, center=center)
    for part, value in zip(plain.stft(x, 24, 10, 32, window=window, center=center), wanted, strict=True):
        np.testing.assert_allclose(part, value, atol=2e-4)


def test_a_real_transform_of_another_length_is_that_of_keras():
    x = np.random.default_rng(0).normal(0, 1, (3, 20)).astype(np.float32)
    for length in (None, 16, 31):
        for part, value in zip(plain.rfft(x, length), keras.ops.rfft(x, length), strict=True):
            np.testing.assert_allclose(part, value, atol=2e-5)


def test_sorted_values_and_bins_convert_and_equal_the_source():
    def function(x):
        bins = layers.Discretization(bin_boundaries=[-0.5, 0.0, 0.5])(x)
        order = keras.ops.argsort(x, axis=1)
        return {"sorted": keras.ops.sort(x, axis=1), "order": order, "bins": bins}

    result = load(network(function, (6, 3)))
    assert result.largest_difference == 0


def test_the_refusal_names_the_op_and_no_path():
    def function(x):
        return keras.ops.fft2((x, keras.ops.zeros_like(x)))[0]

    with pytest.raises(ModelError) as error:
        load(network(function, (8, 8)))
    assert "site-packages" not in str(error.value)
    assert "litert-converter" in str(error.value)


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (layers.UpSampling2D(2, interpolation="bilinear"), "RESIZE_BILINEAR"),
        (layers.Resizing(5, 9), "RESIZE_BILINEAR"),
        (layers.Resizing(8, 12, interpolation="nearest"), "RESIZE_NEAREST_NEIGHBOR"),
    ],
)
def test_a_resized_image_is_one_op(layer, kind):
    assert kinds(network(layer, (4, 6, 3))) == [kind]


def test_a_resize_that_keeps_the_aspect_ratio_still_converts():
    result = load(network(layers.Resizing(6, 6, crop_to_aspect_ratio=True), (4, 6, 3)))
    assert result.largest_difference < 1e-5

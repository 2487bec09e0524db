"""The grids that sums stand on, of layers with a scale for each channel and with one for all."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from tightfit.quantization.plan import Storage  # noqa: E402 - after the check for Keras
from tightfit.training.fake_quant.learned_scales import LearnedScales  # noqa: E402 - after the check for Keras
from tightfit.training.fake_quant.quantizers import WeightQuantizer  # noqa: E402 - after the check for Keras
from tightfit.training.integer.accumulators import (  # noqa: E402 - after the check for Keras
    Accumulator,
    Accumulators,
    bias_room,
)

INPUT_SCALES = (np.float32(0.02), np.float32(0.5))


def layer(index, scale, bias):
    storage = Storage("int8", tuple(scale), (0,) * len(scale), axis=0 if len(scale) > 1 else None)
    quantizer = WeightQuantizer(storage, 2, "average", LearnedScales())
    weights = keras.ops.convert_to_tensor(np.outer(scale, [127.0]).astype(np.float32))
    values = keras.ops.convert_to_tensor(np.float32(bias))
    return Accumulator((index, 1), (index, 2), quantizer, weights, values, "int32")


def form(sums):
    made, cache = Accumulators(sums, lambda i, _: keras.ops.convert_to_tensor(INPUT_SCALES[i])), {}
    numpy = keras.ops.convert_to_numpy
    return [(numpy(made.scales(s.quantizer, cache)), numpy(made.bias(s.bias, cache))) for s in sums]


@pytest.mark.parametrize("own", [(0.01, 0.02, 0.03), (0.01,)])
def test_a_bias_stands_on_the_product_of_the_scales(own):
    biases = (0.1234567, -7.7, 3.3)
    (first, bias), (_, other) = form([layer(0, own, biases), layer(1, (0.25, 0.5), (1.0, 0.3))])
    np.testing.assert_allclose(first, np.float32(own), rtol=1e-6)
    grid = first * INPUT_SCALES[0]
    np.testing.assert_array_equal(bias, np.float32(np.round(np.float32(biases) / grid) * grid))
    np.testing.assert_allclose(other, [1.0, 0.25], rtol=1e-6)


@pytest.mark.parametrize("own", [(1e-9, 1e-3), (1e-9,)])
def test_a_scale_leaves_room_for_the_largest_bias_that_it_carries(own):
    ((scales, _),) = form([layer(0, own, (100.0, -200.0))])
    needed = np.float32([100.0, 200.0]) / (INPUT_SCALES[0] * np.float32(bias_room("int32")))
    expected = np.maximum(needed, own) if len(own) > 1 else needed.max(keepdims=True)
    np.testing.assert_allclose(scales, expected, rtol=1e-5)

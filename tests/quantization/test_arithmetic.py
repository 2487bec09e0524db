"""The affine map keeps its promises, and agrees with LiteRT's own QUANTIZE and DEQUANTIZE to the bit."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from support.models import Builder
from tightfit.errors import QuantizationError
from tightfit.graph.ir import Quantization
from tightfit.graph.writer import serialize
from tightfit.quantization.arithmetic import (
    LIMITS,
    activation_parameters,
    bias_integers,
    dequantize,
    quantize,
    weight_scales,
)
from tightfit.runtime.session import Session

DTYPES = ("int8", "uint8", "int16")
reals = st.floats(-1e6, 1e6, width=32).map(lambda x: x + 0.0)  # no -0.0, which sorts at random
ranges = st.tuples(reals, reals).map(sorted)

# (dtype, scale, zero point); 0.5 makes exact ties, the others products that are not.
FORMS = [(d, s, z) for d, z in (("int8", -3), ("uint8", 120), ("int16", 0)) for s in (0.5, 0.0371, 1e-3)]


def rounding(scale: float, largest: float) -> float:
    """Half a step, and the float32 noise of a product and a sum that are as large as ``largest``."""
    return scale / 2 + 2.0**-21 * max(largest, scale)


@given(ranges, st.sampled_from(DTYPES), st.data())
def test_a_value_inside_the_range_comes_back_within_half_a_step(limits, dtype, data):
    scale, zero_point = activation_parameters(*limits, dtype)
    value = np.float32(data.draw(st.floats(*limits, width=32)))
    back = dequantize(quantize(value, scale, zero_point, dtype), scale, zero_point)
    span = max(abs(limits[0]), abs(limits[1]))
    # The zero point is rounded, so that an end may lie half a step outside.
    slack = scale / 2 if dtype != "int16" else 0.0
    assert abs(float(back) - float(value)) <= rounding(scale, span) + slack


@given(ranges, st.sampled_from(DTYPES))
def test_zero_is_exact_whatever_the_range(limits, dtype):
    scale, zero_point = activation_parameters(*limits, dtype)
    assert dequantize(quantize(np.float32(0), scale, zero_point, dtype), scale, zero_point) == 0.0
    assert LIMITS[dtype][0] <= zero_point <= LIMITS[dtype][1]


@given(ranges)
def test_int16_is_symmetric_and_never_clips_its_range(limits):
    scale, zero_point = activation_parameters(*limits, "int16")
    assert zero_point == 0
    assert np.abs(quantize(np.float32(limits), scale, 0, "int16").astype(int)).max() <= 32767


@pytest.mark.parametrize("limits", [(0.0, np.inf), (np.nan, 1.0), (1.0, -1.0)])
def test_a_range_that_is_none_is_refused_with_its_ends(limits):
    with pytest.raises(QuantizationError, match=str(limits[0])):
        activation_parameters(*limits, "int8")


def test_a_range_of_no_width_has_a_scale():
    scale, zero_point = activation_parameters(0.0, 0.0, "int8")
    assert scale > 0
    assert zero_point == -128


@settings(max_examples=50)
@given(hnp.arrays(np.float32, (2, 3, 2), elements=reals), st.integers(0, 2))
def test_per_channel_is_each_channel_on_its_own(values, axis):
    scales = weight_scales(values, axis)
    together = quantize(values, scales, np.zeros(scales.size), "int8", axis, narrow=True)
    for i, scale in enumerate(scales):
        alone = quantize(np.take(values, i, axis), scale, 0, "int8", narrow=True)
        np.testing.assert_array_equal(np.take(together, i, axis), alone)
        back = dequantize(alone, scale, 0)
        assert np.abs(back - np.take(values, i, axis)).max() <= rounding(float(scale), 127 * float(scale))


@settings(max_examples=50)
@given(hnp.arrays(np.float32, (2, 3), elements=reals), st.sampled_from(["int8", "int4", "int2"]))
def test_weights_reach_the_largest_integer_and_never_the_lowest(values, dtype):
    integers = quantize(values, weight_scales(values, 0, dtype), np.zeros(2), dtype, 0, narrow=True)
    bottom, top = LIMITS[dtype]
    assert integers.min() > bottom
    live = np.abs(values).max(axis=1) > 1e-6
    assert (np.abs(integers[live]).max(axis=1) == top).all()


def test_narrow_leaves_the_lowest_integer_out_even_where_values_are_clipped():
    clipped = np.float32([-1.5, -1.0, 1.5])
    assert quantize(clipped, 1 / 127, 0, "int8", narrow=True).tolist() == [-127, -127, 127]
    assert quantize(clipped, 1 / 127, 0, "int8").tolist() == [-128, -127, 127]


def test_weights_without_elements_have_scales():
    assert weight_scales(np.zeros((3, 0), np.float32), 0).shape == (3,)
    assert weight_scales(np.zeros((3, 0), np.float32), None).shape == (1,)


def test_a_single_number_stays_an_array():
    stored = quantize(np.float32(-0.3), 0.1, 5, "int8")
    assert isinstance(stored, np.ndarray)
    assert (stored.shape, int(stored)) == ((), 2)


def test_a_bias_lands_on_its_grid_and_tells_when_it_was_cut():
    bias = np.float32([1.0, -0.26, 0.0])
    integers, cut = bias_integers(bias, np.float64([0.01, 0.1, 1e-9]), "int32")
    assert (integers.tolist(), integers.dtype, cut) == ([100, -3, 0], np.int32, False)
    integers, cut = bias_integers(bias, np.float64([1e-10, 0.1, 1.0]), "int32")
    assert cut
    assert integers[0] == 2**31 - 1
    integers, cut = bias_integers(bias, np.float64([1e-10, 0.1, 1.0]), "int64")
    assert not cut
    assert integers[0] == pytest.approx(1e10)


# -- LiteRT's own ops ------------------------------------------------------------------------------


def samples(scale: float, dtype: str) -> np.ndarray:
    """Ties, their neighbours, values at random and beyond both ends: 4096, a whole number of vectors.

    LiteRT's kernel handles the last few of another length with scalar code, which rounds ties away from
    zero instead of to even.
    """
    bottom, top = LIMITS[dtype]
    rng = np.random.default_rng(0)
    ties = ((rng.integers(bottom, top, 1024) + 0.5) * scale).astype(np.float32)
    above, below = np.nextafter(ties, np.float32(np.inf)), np.nextafter(ties, np.float32(-np.inf))
    return np.concatenate([ties, above, below, rng.uniform(1.2 * bottom, 1.2 * top, 1024) * scale]).astype(
        np.float32
    )


@functools.cache
def converted(delegate: bool) -> dict[str, np.ndarray]:
    """What QUANTIZE and then DEQUANTIZE give for each form, all in one model."""
    b = Builder()
    outputs, inputs = [], {}
    for i, (dtype, scale, zero_point) in enumerate(FORMS):
        values = samples(scale, dtype)
        x = b.input(f"x{i}", values.shape)
        q = b.op("QUANTIZE", [x], x.shape, name=f"q{i}", dtype=dtype, table="QuantizeOptions")
        q.quantization = Quantization(np.float32([scale]), np.int64([zero_point]))
        outputs += [q, b.op("DEQUANTIZE", [q], x.shape, name=f"r{i}", table="DequantizeOptions")]
        inputs[f"x{i}"] = values
    with Session(serialize(b.model(*outputs)), delegate=delegate) as session:
        return session.run(inputs)


# XNNPACK may round ties in its own way on another processor; here both round them to even.
@pytest.mark.parametrize("delegate", [False, True], ids=["builtin", "xnnpack"])
@pytest.mark.parametrize("form", range(len(FORMS)), ids=lambda i: "-".join(map(str, FORMS[i])))
def test_quantize_equals_the_op_of_litert(form, delegate):
    dtype, scale, zero_point = FORMS[form]
    expected = quantize(samples(scale, dtype), scale, zero_point, dtype)
    np.testing.assert_array_equal(converted(delegate)[f"q{form}"], expected)


@pytest.mark.parametrize("form", range(len(FORMS)), ids=lambda i: "-".join(map(str, FORMS[i])))
def test_dequantize_equals_the_op_of_xnnpack(form):
    _, scale, zero_point = FORMS[form]
    expected = dequantize(converted(True)[f"q{form}"], scale, zero_point)
    np.testing.assert_array_equal(converted(True)[f"r{form}"], expected)


@pytest.mark.parametrize("form", range(len(FORMS)), ids=lambda i: "-".join(map(str, FORMS[i])))
def test_dequantize_is_within_float_rounding_of_litert_s_own_op(form):
    # That kernel forms scale * q - scale * zero_point, which rounds both products (and their difference).
    _, scale, zero_point = FORMS[form]
    integers = converted(False)[f"q{form}"]
    noise = 2.0**-23 * scale * (np.abs(integers.astype(float)) + abs(zero_point))
    assert (np.abs(converted(False)[f"r{form}"] - dequantize(integers, scale, zero_point)) <= noise).all()

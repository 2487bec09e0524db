from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.data.adapt import adapt_inputs, dequantize, quantize
from tightfit.data.sample import InputSpec, Sample
from tightfit.errors import DataError
from tightfit.graph.ir import Graph, Model, Op, Quantization, Tensor
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session

INT8 = np.dtype(np.int8)


def test_a_model_of_integers_gets_quantized_inputs_under_its_own_name():
    sample = Sample({"x": np.float32([[0.0, 1.0, 100.0]])})
    inputs = adapt_inputs(sample, [InputSpec("serving_x", (1, 3), "int8", 0.5, -1)])
    assert inputs["serving_x"].tolist() == [[-1, 1, 127]]
    assert inputs["serving_x"].dtype == np.int8


def test_a_float_model_gets_the_sample_as_it_is():
    array = np.float32([[0.0, 1.0]])
    inputs = adapt_inputs(Sample({"x": array}), [InputSpec("x", (1, 2), "float32")])
    assert np.shares_memory(inputs["x"], array)
    assert inputs["x"].dtype == np.float32


def test_other_inputs_are_refused():
    sample = Sample({"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 2), np.float32)})
    with pytest.raises(DataError, match="takes the inputs c, d, but the samples were made for a, b"):
        adapt_inputs(sample, [InputSpec("c", (1, 2), "float32"), InputSpec("d", (1, 2), "float32")])
    with pytest.raises(DataError, match="'a' of a model takes 1x3, but the samples have 1x2"):
        adapt_inputs(sample, [InputSpec("a", (1, 3), "float32"), InputSpec("b", (1, 2), "float32")])


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=20),
    st.floats(0.01, 2),
    st.integers(-128, 127),
)
def test_quantizing_errs_by_half_a_step_where_it_does_not_clamp(values, scale, zero_point):
    x = np.float32(values)
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    back = dequantize(quantize(x, scale, zero_point, INT8), scale, zero_point)
    # float32 division and product each err by 2**-24 of the value
    np.testing.assert_array_less(np.abs(np.clip(x, low, high) - back), scale / 2 + 2e-5)


def quantize_op(size, scale, zero_point):
    graph = Graph()
    x = Tensor("x", (1, size))
    q = Tensor("q", (1, size), "int8", quantization=Quantization(np.float32([scale]), np.int64([zero_point])))
    graph.inputs, graph.outputs = [x], [q]
    graph.append(Op("QUANTIZE", [x], [q], {}, "QuantizeOptions"))
    return serialize(Model([graph]))


@pytest.mark.parametrize("scale", [0.25, 0.1, 1 / 255, 3.7])
def test_quantizing_equals_the_runtimes_quantize_op_halves_included(scale):
    halves = (np.arange(-140, 140) + 0.5).astype(np.float32) * np.float32(scale)
    x = np.concatenate([halves, np.nextafter(halves, np.float32(0)), np.float32([1e9, -1e9])])[None]
    with Session(quantize_op(x.size, scale, 3)) as session:
        expected = session.run({session.inputs[0].name: x})
    np.testing.assert_array_equal(quantize(x, scale, 3, INT8), next(iter(expected.values())))

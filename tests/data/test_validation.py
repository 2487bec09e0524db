from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.data.sample import DataRecord, InputSpec, fit_shape
from tightfit.data.validation import check_record
from tightfit.errors import DataError

FLOAT = InputSpec("image", (1, 2, 3), "float32")


def checked(array, spec=FLOAT, name="x"):
    return check_record(DataRecord(7, "Sample 7", {name: np.asarray(array)}), [spec]).inputs[spec.name]


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint8, np.int32, bool])
def test_numbers_widen_to_float_without_change(dtype):
    array = np.array([[1, 0, 1], [0, 1, 1]]).astype(dtype)
    out = checked(array)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out[0], array.astype(np.float32))


def test_integers_come_to_an_integer_input_when_they_fit():
    spec = InputSpec("ids", (1, 2), "int32")
    assert checked(np.int64([5, 6]), spec).dtype == np.int32
    with pytest.raises(DataError, match=r"values from 1 to 4294967296 in input 'ids', which takes int32"):
        checked(np.int64([1, 2**32]), spec)


def test_real_numbers_are_not_rounded_into_an_integer_input():
    with pytest.raises(DataError, match=r"dtype float64 for input 'ids', which takes int32.*Pass integers"):
        checked([0.5, 1.0], InputSpec("ids", (1, 2), "int32"))


def test_a_quantized_input_is_held_as_reals():
    spec = InputSpec("q", (1, 2), "int8", scale=0.5, zero_point=-3)
    assert checked(np.float64([1.5, 2]), spec).tolist() == [[1.5, 2]]
    assert checked(np.int8([-3, 1]), spec).tolist() == [[0, 2]]
    assert checked(np.uint8([200, 1]), spec).tolist() == [[200, 1]]


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (2, 1, 3), (2, 3, 1)])
def test_shapes_that_differ_by_ones_only_are_taken(shape):
    assert checked(np.zeros(shape)).shape == (1, 2, 3)


def test_free_dimensions_take_any_size():
    spec = InputSpec("x", (-1, -1, 3), "float32")
    assert checked(np.zeros((5, 3)), spec).shape == (1, 5, 3)
    with pytest.raises(DataError, match=r"has shape 5x4 for input 'x', which takes \?x3"):
        checked(np.zeros((5, 4)), spec)


def test_an_input_without_a_batch_dimension_gets_none():
    assert checked(np.zeros(15600), InputSpec("x", (15600,), "float32")).shape == (15600,)
    assert checked(np.int64(16000), InputSpec("rate", (), "int64")).shape == ()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), st.integers(0, 5))
def test_fitting_never_moves_an_element(shape, position):
    array = np.arange(np.prod(shape)).reshape(shape)
    squeezed = array.reshape((*shape[: position % len(shape)], 1, *shape[position % len(shape) :]))
    fitted = fit_shape(squeezed, InputSpec("x", (1, *shape), "int64"))
    np.testing.assert_array_equal(fitted[0], array)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 2)), "Sample 7 has shape 3x2 for input 'image', which takes 2x3"),
        (np.full((2, 3), np.nan), "Sample 7 has 6 values that are NaN or infinite in input 'image'"),
        (np.full((2, 3), 1e300), "6 values that are NaN or infinite"),
        (np.full((2, 3), "a"), "dtype <U1 for input 'image'"),
        (np.full((2, 3), 1j), "is complex for input 'image'"),
        (np.full((2, 3), 2**24 + 1), "integers too large for float32"),
    ],
)
def test_what_a_model_does_not_take_is_refused_with_the_sample(array, message):
    with pytest.raises(DataError, match=message):
        checked(array)


def test_input_names_must_be_the_models():
    two = [InputSpec("ids", (1, 2), "int32"), InputSpec("mask", (1, 2), "int32")]
    with pytest.raises(DataError, match=r"Unknown input 'imaeg'.*Did you mean 'image'"):
        checked(np.zeros((2, 3)), name="imaeg")
    with pytest.raises(DataError, match=r"Sample 7 has no array for the model's input 'mask'; it has 'ids'"):
        check_record(DataRecord(7, "Sample 7", {"ids": np.zeros(2, int)}), two)


def test_an_input_that_takes_text_is_refused():
    with pytest.raises(DataError, match="Input 's' takes string"):
        checked([1], InputSpec("s", (1, 1), "string"))


@pytest.mark.parametrize(
    ("label", "expected"), [(3, 3), (np.int64(3), 3), (np.array([3]), 3), (True, 1), (None, None)]
)
def test_labels_of_one_whole_number_become_classes(label, expected):
    sample = check_record(DataRecord(0, "Sample 0", {"x": np.zeros((2, 3))}, label), [FLOAT])
    assert sample.label == expected
    assert not isinstance(sample.label, np.ndarray)


def test_a_label_that_is_not_a_number_is_refused():
    for label, message in ((np.array([1j, 2]), "label of dtype"), (float("nan"), "label with NaN")):
        with pytest.raises(DataError, match=message):
            check_record(DataRecord(0, "Sample 0", {"x": np.zeros((2, 3))}, label), [FLOAT])

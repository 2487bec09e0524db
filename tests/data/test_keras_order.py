from __future__ import annotations

import numpy as np
import pytest

from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data
from tightfit.errors import DataError

RNG = np.random.default_rng(0)
IMAGE = RNG.random((10, 4, 4, 1)).astype(np.float32)
ROW = RNG.random((10, 5)).astype(np.float32)
TEMP, FLOW = RNG.random((10, 1)), RNG.random((10, 2))
# a converted file sorts its inputs, so they are not in the order of the Keras model
INPUTS = [InputSpec("row", (1, 5), "float32"), InputSpec("image", (1, 4, 4, 1), "float32")]
OUTPUTS = ["flow", "temp"]


@pytest.mark.parametrize(
    "data",
    [[IMAGE, ROW], (IMAGE, ROW), [ROW, IMAGE], ([IMAGE, ROW], [TEMP, FLOW]), ((IMAGE, ROW), (TEMP, FLOW))],
)
def test_arrays_in_the_order_of_keras_are_the_inputs(data):
    samples = list(open_data(data, inputs=INPUTS, outputs=OUTPUTS).samples())
    assert len(samples) == 10
    assert np.array_equal(samples[3].inputs["image"][0], IMAGE[3])
    assert np.array_equal(samples[3].inputs["row"][0], ROW[3])


@pytest.mark.parametrize(
    "data", [IMAGE, (IMAGE, TEMP), ([IMAGE], [TEMP, FLOW]), [IMAGE, IMAGE], [IMAGE, ROW, ROW]]
)
def test_other_arrays_are_refused_by_the_names_of_the_inputs(data):
    with pytest.raises(
        DataError, match=r"2 inputs: 'row' \(5\), 'image' \(4x4x1\).*dict of arrays by input name"
    ):
        open_data(data, inputs=INPUTS, outputs=OUTPUTS)


def test_two_inputs_of_one_shape_have_no_order():
    inputs = [InputSpec("left", (1, 5), "float32"), InputSpec("right", (1, 5), "float32")]
    with pytest.raises(DataError, match="dict of arrays by input name"):
        open_data([ROW, ROW], inputs=inputs)


def test_lists_of_samples_stay_lists_of_samples():
    one = [InputSpec("row", (1, 5), "float32")]
    assert len(open_data([ROW[0], ROW[1]], inputs=one)) == 2
    assert len(open_data(list(ROW), inputs=one)) == 10
    assert len(open_data((ROW, TEMP), inputs=one)) == 10


def test_one_array_a_sample_is_refused_by_the_names_of_the_inputs():
    with pytest.raises(DataError, match="one array without a name, and the model has 2 inputs: 'row'"):
        list(open_data(lambda: list(IMAGE), inputs=INPUTS).samples())


def test_one_value_that_is_nan_is_counted_in_the_singular():
    row = ROW.copy()
    row[3, 0] = np.nan
    with pytest.raises(DataError, match="has 1 value that is NaN or infinite in input 'row'"):
        list(open_data([IMAGE, row], inputs=INPUTS).samples())

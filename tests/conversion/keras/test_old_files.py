"""Keras files of other ages and precisions: what means nothing is dropped, half precision is float32."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.keras.keras_export import load_file
from tightfit.conversion.keras.old_configs import migrate, writer_version
from tightfit.conversion.load_model import load
from tightfit.errors import ModelError

keras = pytest.importorskip("keras", reason="needs keras: the extra 'keras'")
h5py = pytest.importorskip("h5py", reason="needs h5py, which comes with keras")
pytest.importorskip("litert_converter", reason="needs litert-converter: the extra 'keras'")
layers = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Keras on legacy files

OLD = {
    "DepthwiseConv2D": {"groups": 1},
    "LSTM": {"time_major": False, "implementation": 2},
    "GRU": {"time_major": False},
    "BatchNormalization": {"axis": [3], "fused": True, "renorm": False},
}


def network():
    image, steps = keras.Input((6, 6, 3), name="image"), keras.Input((3, 4), name="steps")
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3)(image)))
    y = layers.GRU(3)(layers.LSTM(3, return_sequences=True)(steps))
    joined = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), y])
    return keras.Model([image, steps], layers.Dense(2)(joined))


def as_keras_2(path):
    """Write into a file what Keras 2.15 wrote."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            layer["config"].update(OLD.get(layer["class_name"], {}))
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"


def test_an_h5_file_of_keras_2_loads_with_its_weights(tmp_path):
    path, model = tmp_path / "old.h5", network()
    model.save(path)
    as_keras_2(path)
    before = path.read_bytes()
    loaded = load_file(path, ConversionOptions())
    for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert path.read_bytes() == before


def test_an_argument_that_means_something_is_refused_with_the_writer(tmp_path):
    path = tmp_path / "old.h5"
    network().save(path)
    OLD["LSTM"]["time_major"] = True
    try:
        as_keras_2(path)
    finally:
        OLD["LSTM"]["time_major"] = False
    assert writer_version(path) == "2.15.0"
    with pytest.raises(ModelError, match=r"Keras 2\.15\.0 wrote it"):
        load_file(path, ConversionOptions())


def test_a_current_config_is_left_alone():
    assert not migrate(json.loads(network().to_json()))


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_half_precision_converts_to_float32_and_the_model_is_as_before(policy):
    keras.config.set_dtype_policy(policy)
    try:
        x = keras.Input((8, 8, 3))
        model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))))
    finally:
        keras.config.set_dtype_policy("float32")
    converted = load(model)
    assert [op.kind for op in converted.model.main.ops] == ["CONV_2D", "MEAN", "FULLY_CONNECTED"]
    assert converted.model.main.inputs[0].dtype == "float32"
    assert converted.largest_difference < 1e-5
    assert {layer.dtype_policy.name for layer in model.layers} == {policy}


def test_a_model_quantized_by_keras_is_refused_in_one_sentence():
    x = keras.Input((8,))
    model = keras.Model(x, layers.Dense(4, name="head")(x))
    model.quantize("int4")
    with pytest.raises(ModelError, match=r"'head' was quantized by model.quantize\('int4'\)"):
        load(model)


def test_no_two_tensors_share_a_name():
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(4, 3, bias_initializer="ones")(x)
    graph = load(keras.Model(x, layers.Conv2D(4, 3, bias_initializer="ones")(y))).model.main
    names = [t.name for t in graph.tensors()]
    assert len(names) == len(set(names))

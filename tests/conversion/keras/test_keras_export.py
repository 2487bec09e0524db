from __future__ import annotations

import json
import zipfile
from collections import Counter

import numpy as np
import pytest

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.keras.safe_files import check_file, modules_in
from tightfit.conversion.load_model import load
from tightfit.conversion.open_model import open_model
from tightfit.errors import ModelError
from tightfit.graph.reader import read_model

keras = pytest.importorskip("keras", reason="needs keras: the extra 'keras'")
pytest.importorskip("litert_converter", reason="needs litert-converter: the extra 'keras'")
layers = keras.layers


class Scaled(layers.Layer):
    """A layer of our own with a weight of its own."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="random_normal", name="factor")

    def call(self, x):
        return keras.ops.tanh(x) * self.factor


class Nested(keras.Model):
    """A subclassed model with a model and a custom layer inside."""

    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([layers.Dense(6, activation="relu"), Scaled()])
        self.head = layers.Dense(2)

    def call(self, x):
        return {"score": self.head(self.inner(x)), "features": self.inner(x)}


def small_network():
    x = keras.Input((8, 8, 3), name="image")
    y = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    y = layers.DepthwiseConv2D(3, padding="same", name="depth")(y)
    y = layers.GlobalAveragePooling2D()(y)
    return keras.Model(x, layers.Dense(3, name="scores")(y))


def kinds(converted):
    return Counter(op.kind for op in converted.model.main.ops)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "small.keras"
    model = small_network()
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.5, w.shape) ** 2 + 0.1 for w in model.get_weights()])
    model.save(path)
    return path


@pytest.fixture(scope="module")
def converted(saved, tmp_path_factory):
    return load(saved, tmp_path_factory.mktemp("out") / "small.tflite")


def test_a_keras_file_becomes_plain_ops_with_batch_norm_folded(converted):
    expected = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1}
    assert kinds(converted) == expected


def test_outputs_agree_with_keras_to_1e_5(converted):
    (row,) = converted.differences
    assert row.output == "scores"
    assert row.scale > 0.1
    assert row.largest <= 1e-5 * row.scale


def test_names_of_inputs_outputs_and_layers_survive(converted):
    (signature,) = converted.model.signatures
    assert list(signature.inputs) == ["image"]
    assert list(signature.outputs) == ["scores"]
    assert [op.name for op in converted.model.main.ops[:2]] == ["stem", "depth"]


def test_a_subclassed_nested_model_with_a_custom_layer_converts_in_this_process():
    model = Nested()
    model(np.zeros((1, 5), np.float32))
    result = load(model)
    assert kinds(result)["TANH"] == 1
    assert sorted(result.model.signatures[0].outputs) == ["features", "score"]
    assert result.largest_difference < 1e-5


def test_recurrent_layers_are_written_out_and_the_model_is_as_before():
    x = keras.Input((4, 3), name="steps")
    y = layers.GRU(2)(layers.LSTM(3, return_sequences=True)(x))
    model = keras.Model(x, y)
    result = load(model)
    assert kinds(result)["WHILE"] == 0
    assert result.largest_difference < 1e-5
    assert not any(layer.unroll for layer in model.layers if hasattr(layer, "unroll"))
    assert any("Unrolled" in note for note in result.notes)


def test_attention_whose_values_are_wider_than_its_keys_converts():
    query, value = keras.Input((5, 8)), keras.Input((7, 8))
    attention = keras.layers.MultiHeadAttention(2, 4, value_dim=3)
    result = load(keras.Model([query, value], attention(query, value)))
    assert result.largest_difference < 1e-5
    assert attention._dropout == 0.0


def test_a_free_batch_is_written_as_minus_one():
    result = load(small_network(), options=ConversionOptions(batch=None))
    assert result.model.main.inputs[0].shape_signature == (-1, 8, 8, 3)


def test_a_batch_of_four_is_written_as_four():
    assert load(small_network(), options=ConversionOptions(batch=4)).model.main.inputs[0].shape == (
        4,
        8,
        8,
        3,
    )


def test_free_dimensions_ask_for_a_shape_and_take_it():
    x = keras.Input((None, None, 3), name="image")
    model = keras.Model(x, layers.Conv2D(2, 3)(x))
    with pytest.raises(ModelError, match=r"input_shape=\{'image': \(1, \?, \?, 3\)\}"):
        load(model)
    result = load(model, options=ConversionOptions(shapes={"image": (1, 6, 7, 3)}))
    assert result.model.main.inputs[0].shape == (1, 6, 7, 3)


def test_image_inputs_take_bytes_on_request():
    result = load(small_network(), options=ConversionOptions(uint8=(127.5, 127.5)))
    model = result.model
    graph = model.main
    assert graph.inputs[0].dtype == "uint8"
    assert [op.kind for op in graph.ops[:3]] == ["CAST", "SUB", "MUL"]
    assert graph.inputs[0] is model.signatures[0].inputs["image"]


def test_the_boundary_converts_a_file_once_and_passes_a_tflite_through(saved, converted):
    assert open_model(converted.path) == converted.path
    assert open_model(converted) == converted.path
    first = open_model(saved)
    assert first.suffix == ".tflite"
    assert open_model(saved) == first
    assert read_model(first).main.ops


# -- files that would run code ---------------------------------------------------------------------


def _keras_file(path, config):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
    return path


def test_a_lambda_is_refused_without_trust_and_never_loaded(tmp_path):
    model = keras.Sequential([keras.Input((2,)), layers.Lambda(lambda v: v * 2, name="twice")])
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(
        ModelError, match=r"Lambda layer 'twice' that holds Python byte code.*Pass trust=True if"
    ):
        load(tmp_path / "lambda.keras")
    check_file(tmp_path / "lambda.keras", trust=True)


def test_classes_of_other_modules_are_refused_without_trust(tmp_path):
    config = {"class_name": "Sequential", "module": "keras", "config": {"layers": [
        {"class_name": "system", "module": "os", "config": {}, "registered_name": None}]}}  # fmt: skip
    with pytest.raises(ModelError, match=r"class system of the Python module 'os'"):
        check_file(_keras_file(tmp_path / "evil.keras", config), trust=False)
    assert modules_in(config) == ["os"]


def test_a_layer_that_unpickles_torch_is_refused(tmp_path):
    config = {"class_name": "TorchModuleWrapper", "module": "keras.layers", "config": {"name": "w"}}
    with pytest.raises(ModelError, match="pickled torch module"):
        check_file(_keras_file(tmp_path / "torch.keras", config), trust=False)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 half"])
def test_damaged_files_are_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "damaged.keras"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not a whole Keras model"):
        load(path)


def test_a_model_of_our_own_code_is_named_module_attribute(tmp_path, monkeypatch):
    (tmp_path / "own_models.py").write_text(
        "import keras\n\ndef build():\n"
        "    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name='out')])\n"
    )
    monkeypatch.chdir(tmp_path)
    result = load("own_models:build")
    assert kinds(result) == {"FULLY_CONNECTED": 1}
    with pytest.raises(Exception, match="own_models"):
        load("own_models:missing")


def test_gelu_and_layer_normalization_come_out_short():
    x = keras.Input((3, 8))
    model = keras.Model(x, layers.Dense(4, activation="gelu")(layers.LayerNormalization()(x)))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 1, w.shape) for w in model.get_weights()])
    result = load(model)
    assert kinds(result)["GELU"] == 1
    assert sum(kinds(result).values()) == 11
    assert result.largest_difference < 1e-5
    assert any("GELU" in note for note in result.notes)

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.load_model import load
from tightfit.errors import ModelError

pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="needs tensorflow: the extra 'tensorflow'"
)

MODULE = """
import sys
import tensorflow as tf


class Two(tf.Module):
    def __init__(self):
        self.w = tf.Variable([[1.0, 2.0], [3.0, 4.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, 2], name="x")])
    def double(self, x):
        return {"twice": 2.0 * tf.matmul(x, self.w)}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], name="x")])
    def soft(self, x):
        return {"share": tf.nn.softmax(tf.matmul(x, self.w))}

    @tf.function(input_signature=[tf.TensorSpec([4], tf.string, name="x")])
    def words(self, x):
        return {"numbers": tf.strings.to_number(tf.strings.regex_replace(x, "a", "1"))}


two = Two()
tf.saved_model.save(two, sys.argv[1], signatures={"double": two.double, "soft": two.soft})
tf.saved_model.save(two, sys.argv[2], signatures={"words": two.words})
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Made in a process of its own, as the exporter runs in one: TensorFlow stays out of this one."""
    folder = tmp_path_factory.mktemp("saved")
    paths = [folder / "two", folder / "words"]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", MODULE, *map(str, paths)]
    subprocess.run(command, check=True, capture_output=True, env=quiet)
    return paths


def test_every_signature_is_in_the_file_and_compared(folders):
    loaded_before = "tensorflow" in sys.modules
    result = load(folders[0])
    assert {s.key: (list(s.inputs), list(s.outputs)) for s in result.model.signatures} == {
        "double": (["x"], ["twice"]),
        "soft": (["x"], ["share"]),
    }
    assert {d.output for d in result.differences} == {"twice", "share"}
    assert result.largest_difference < 1e-5
    assert ("tensorflow" in sys.modules) == loaded_before


def test_one_signature_with_a_free_batch_on_request(folders):
    result = load(folders[0], options=ConversionOptions(signature="soft", batch=None))
    assert [s.key for s in result.model.signatures] == ["soft"]
    assert result.model.main.inputs[0].shape_signature == (-1, 2)


def test_an_unknown_signature_names_the_known_ones(folders):
    with pytest.raises(ModelError, match=r"Unknown signature 'sof'.*Did you mean 'soft'"):
        load(folders[0], options=ConversionOptions(signature="sof"))


def test_an_op_without_a_form_is_named(folders):
    with pytest.raises(ModelError, match=r"StaticRegexReplace|StringToNumber"):
        load(folders[1])


STATEFUL = """
import sys
import keras
import tensorflow as tf


class Counter(tf.Module):
    def __init__(self):
        self.sum = tf.Variable([[0.0, 0.0]])

    @tf.function(input_signature=[tf.TensorSpec([1, 2], name="x")])
    def add(self, x):
        return {"sum": self.sum.assign_add(x)}

    @tf.function(input_signature=[tf.TensorSpec([1, 2], name="x")])
    def scaled(self, x):
        return {"product": self.sum * x}


counter = Counter()
tf.saved_model.save(counter, sys.argv[1], signatures={"add": counter.add, "scaled": counter.scaled})
x = keras.Input((4, 3))
keras.Model(x, keras.layers.GRU(2)(x)).export(sys.argv[2], verbose=False)
"""


@pytest.fixture(scope="module")
def stateful(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stateful")
    paths = [folder / "counter", folder / "loop"]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", STATEFUL, *map(str, paths)]
    subprocess.run(command, check=True, capture_output=True, env=quiet)
    return paths


def test_variables_of_a_saved_model_stay_and_each_signature_begins_anew(stateful):
    result = load(stateful[0])
    assert {d.output for d in result.differences} == {"sum", "product"}
    assert any(op.kind == "ASSIGN_VARIABLE" for graph in result.model.graphs for op in graph.ops)


def test_a_loop_over_lists_is_refused_with_the_way_out(stateful):
    with pytest.raises(ModelError, match=r"LSTM, GRU or RNN.*\.keras or \.h5"):
        load(stateful[1])

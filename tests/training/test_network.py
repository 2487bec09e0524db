"""The network as a Keras model: equality, batches, saving, precision, bad use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import Builder, conv_net, residual_net, two_inputs_net  # noqa: E402 - after the check for Keras
from support.quantized_models import cleaned, distance, planned, samples_of  # noqa: E402
from tightfit.errors import ModelError, OptionError  # noqa: E402
from tightfit.training.equality import check_equality  # noqa: E402
from tightfit.training.network import Network  # noqa: E402
from tightfit.training.transforms.weight_transforms import Cluster, Mask  # noqa: E402

SHARED = sorted((Path(__file__).resolve().parents[3] / "shared" / "models").glob("*.tflite"))
REAL = [pytest.param(p, marks=pytest.mark.shared, id=p.stem) for p in SHARED] or [
    pytest.param(None, marks=[pytest.mark.shared, pytest.mark.skip("../shared/models is absent")])
]


def numpy_of(value):
    return keras.ops.convert_to_numpy(value)


@pytest.mark.parametrize("path", REAL)
def test_a_real_model_computes_what_litert_does(path):
    assert check_equality(Network(cleaned(path), check=False)) <= 1e-4


@pytest.mark.parametrize("make", [conv_net, residual_net, two_inputs_net])
def test_a_small_model_computes_what_litert_does(make):
    assert check_equality(Network(make())) <= 1e-5


def test_a_difference_to_litert_is_refused():
    network = Network(conv_net(), check=False)
    network.trainable_variables[0].assign(network.trainable_variables[0] * 1.5)
    with pytest.raises(ModelError, match="differs from LiteRT in the output 'probabilities' by"):
        check_equality(network)


def test_samples_of_a_batch_do_not_mix():
    network = Network(residual_net(), check=False)
    images = np.concatenate([s.inputs["image"] for s in samples_of(network.source, 5)])
    together = numpy_of(network(images))
    alone = np.concatenate([numpy_of(network(images[i : i + 1])) for i in range(5)])
    assert together.shape == (5, 4)
    assert distance(together, alone) <= 1e-6


def test_several_inputs_and_outputs_go_by_name():
    network = Network(two_inputs_net(), check=False)
    found = network({"left": np.ones((3, 6), np.float32), "right": np.ones((3, 4), np.float32)})
    assert {name: tuple(v.shape) for name, v in found.items()} == dict.fromkeys(
        network.output_tensors, (3, 8)
    )
    with pytest.raises(ModelError, match="takes the inputs left, right; received left, wrong"):
        network.tensors({"left": 0, "wrong": 0}, [])


@pytest.mark.parametrize("quantized", [False, True], ids=["float", "int8"])
def test_a_saved_network_comes_back_the_same(quantized, tmp_path):
    model = conv_net()
    samples = samples_of(model, 4)
    plan = planned(model, "int8", samples) if quantized else None
    network = Network(model, plan, [Mask(0.5), Cluster(8)], check=False)
    x = np.concatenate([s.inputs["image"] for s in samples])
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(x, np.arange(4), batch_size=2, epochs=2, verbose=0)
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert again.plan == network.plan
    np.testing.assert_array_equal(numpy_of(network(x)), numpy_of(again(x)))
    again.fit(x, np.arange(4), batch_size=2, epochs=1, verbose=0)


def test_a_network_trains_in_mixed_precision():
    model = conv_net()
    samples = samples_of(model, 4)
    network = Network(model, planned(model, "int8", samples), dtype="mixed_bfloat16", check=False)
    x = np.concatenate([s.inputs["image"] for s in samples])
    assert keras.backend.standardize_dtype(network(x).dtype) == "bfloat16"
    network.compile("adam", "sparse_categorical_crossentropy")
    history = network.fit(x, np.arange(4), batch_size=2, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_an_op_without_a_row_is_named():
    b = Builder()
    x = b.input("x", [1, 4])
    with pytest.raises(ModelError, match="Cannot train through LOCAL_RESPONSE_NORMALIZATION 'lrn'"):
        Network(b.model(b.op("LOCAL_RESPONSE_NORMALIZATION", [x], [1, 4], name="lrn")))


def test_weights_computed_from_the_input_are_refused():
    b = Builder()
    x = b.input("x", [1, 4, 4, 2])
    w = b.input("w", [3, 1, 1, 2])
    options = {"padding": 0, "strideW": 1, "strideH": 1}
    y = b.op("CONV_2D", [x, w, b.weights("bias", 3)], [1, 4, 4, 3], table="Conv2DOptions", options=options)
    with pytest.raises(ModelError, match="its weights 'w' are computed from the input"):
        Network(b.model(y))


def test_bad_use_is_answered_in_a_sentence():
    model = conv_net()
    with pytest.raises(OptionError, match=r"received 80\. Did you mean 0\.8"):
        Mask(80)
    with pytest.raises(
        OptionError, match="Mask, Cluster, in this order and each once; received Cluster, Mask"
    ):
        Network(model, transforms=[Cluster(4), Mask(0.5)])
    with pytest.raises(OptionError, match="5000 clusters are no fewer than the 1152 values"):
        Network(model, transforms=[Cluster(5000)])
    with pytest.raises(OptionError, match=r"Unknown way to move ranges 'learn'\. .* Did you mean 'learned'"):
        Network(model, ranges="learn")

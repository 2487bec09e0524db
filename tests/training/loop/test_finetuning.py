"""Stages, checkpoints and refusals of a whole training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import NONE, Builder  # noqa: E402 - after the check for Keras
from tightfit.compression.channels.channel_groups import find_dependencies  # noqa: E402 - after the check for Keras
from tightfit.compression.channels.channel_removal import remove_channels  # noqa: E402 - after the check for Keras
from tightfit.data.sample import InputSpec  # noqa: E402 - after the check for Keras
from tightfit.data.sources import open_data  # noqa: E402 - after the check for Keras
from tightfit.errors import DataError, OptionError  # noqa: E402 - after the check for Keras
from tightfit.graph.writer import write_model  # noqa: E402 - after the check for Keras
from tightfit.pipeline.training_start import training_start  # noqa: E402 - after the check for Keras
from tightfit.quantization.apply import apply_plan  # noqa: E402 - after the check for Keras
from tightfit.quantization.scheme import INT8, find_scheme  # noqa: E402 - after the check for Keras
from tightfit.training.loop.finetuning import FinetuneSpec, finetune  # noqa: E402 - after the check for Keras
from tightfit.training.loop.training_data import TrainingData  # noqa: E402 - after the check for Keras
from tightfit.weights.statistics import weight_values  # noqa: E402 - after the check for Keras

COUNT = 32


def network():
    """A 1×1 convolution, a dense layer, a softmax."""
    b = Builder()
    y = b.conv(b.input("image", [1, 4, 4, 24]), 48, kernel=1, activation=NONE)
    return b.model(b.softmax(b.dense(b.mean(y), 24)))


MODEL = network()
SPECS = [InputSpec("image", (1, 4, 4, 24), "float32")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "set.npz"
    x = random.standard_normal((COUNT, 4, 4, 24)).astype(np.float32)
    np.savez(path, x=x, y=np.arange(COUNT) % 16)
    return open_data(f"{path}:x,y", inputs=SPECS)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "set.npz"
    np.savez(path, x=np.zeros((COUNT, 4, 4, 24), np.float32))
    return open_data(str(path), inputs=SPECS)


def material(data):
    return TrainingData(data, range(COUNT), MODEL, training_start)


def run(data, request, folder, listener=None):
    return finetune(MODEL, material(data), request, folder / "checkpoint.npz", listener)


def held(trained):
    model = trained.model if trained.plan is None else apply_plan(trained.model, trained.plan)
    return weight_values(model)


def test_pcqat_prunes_then_clusters_and_rounds(data, tmp_path):
    request = FinetuneSpec(scheme=INT8, sparsity=0.75, clusters=8, epochs=2, batch=8)
    heard = []
    trained = run(data, request, tmp_path, lambda *facts: heard.append(facts[:3]))
    found = held(trained)
    assert found.zeros >= 0.75
    assert found.unique <= 8
    assert {t.dtype for t in found.tensors} == {"int8"}
    assert [row["stage"] for row in trained.history] == [0, 1]
    assert heard == [(f"stage {stage}", step, 4) for stage in (1, 2) for step in (1, 2, 3, 4)]


def test_without_labels_the_teacher_alone_trains(unlabelled, tmp_path):
    trained = run(unlabelled, FinetuneSpec(clusters=6, epochs=1, batch=16), tmp_path)
    assert trained.plan is None
    assert held(trained).unique <= 6


def test_a_model_without_some_channels_learns_from_the_one_it_came_from(unlabelled, tmp_path):
    """Nothing else is asked for; a feature that has lost channels is left out, one that has not teaches."""
    whole = tmp_path / "whole.tflite"
    write_model(MODEL, whole)
    found = find_dependencies(MODEL)
    stays = np.ones(found.size, bool)
    stays[found.removable()[0].channels[::2]] = False
    pruned = remove_channels(MODEL, stays)
    request = FinetuneSpec(epochs=2, batch=8, labels="no", teacher=whole, features=("conv_0", "dense_2"))
    trained = finetune(pruned, material(unlabelled), request, tmp_path / "checkpoint.npz")
    assert trained.plan is None
    assert trained.model.main.ops[0].outputs[0].shape == (1, 4, 4, 24)
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]


class StopError(Exception):
    """The power went."""


def test_a_stopped_training_goes_on_and_ends_the_same(data, tmp_path):
    request = FinetuneSpec(sparsity=0.5, epochs=2, batch=16, seed=3)
    whole = run(data, request, tmp_path)
    (tmp_path / "checkpoint.npz").unlink()

    def stop_in_the_second_epoch(_stage, step, _steps, _metrics):
        if step == 3:
            raise StopError

    with pytest.raises(StopError):
        run(data, request, tmp_path, stop_in_the_second_epoch)
    heard = []
    resumed = run(data, request, tmp_path, lambda *facts: heard.append(facts[1]))
    assert heard == [3, 4]
    assert [row["epoch"] for row in resumed.history] == [0, 1]
    for a, b in zip(whole.model.main.tensors(), resumed.model.main.tensors(), strict=True):
        if a.data is not None:
            np.testing.assert_allclose(a.data, b.data, rtol=1e-5, atol=1e-6)


PRUNE = FinetuneSpec(sparsity=0.5)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (FinetuneSpec(), "There is nothing to train for"),
        (replace(PRUNE, sparsity=80.0), "received 80. Did you mean 0.8"),
        (FinetuneSpec(scheme=find_scheme("dynamic")), "'dynamic' has none"),
        (replace(PRUNE, epochs=0), "at least one epoch; received 0"),
        (replace(PRUNE, scheme=INT8, epochs=1), "takes 2 epochs or more; received 1"),
        (replace(PRUNE, learning_rate=2.0), "between 0 and 1; received 2"),
        (replace(PRUNE, labels="maybe"), "received 'maybe'"),
        (replace(PRUNE, augment=("flop",)), "flip"),
        (replace(PRUNE, schedule="linear"), "polynomial"),
        (FinetuneSpec(scheme=INT8, ranges="moving"), "average"),
        (FinetuneSpec(clusters=8, initial="random"), "density"),
        (replace(PRUNE, augment=("mix",)), "leave 'mix' out"),
        (FinetuneSpec(clusters=5000), "Received 5000 clusters; expected 2 to 256"),
    ],
)
def test_wrong_requests_are_refused(data, tmp_path, request_, message):
    with pytest.raises(OptionError, match=message):
        run(data, request_, tmp_path)


def test_labels_and_samples_that_are_missing_are_told(data, unlabelled, tmp_path):
    with pytest.raises(DataError, match="--labels yes needs labels, but the data has none"):
        run(unlabelled, replace(PRUNE, labels="yes"), tmp_path)
    with pytest.raises(DataError, match="There are 32 samples to train with and a batch takes 64"):
        run(data, replace(PRUNE, batch=64), tmp_path)

"""The verb from a file to a trained file: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import conv_net, random_inputs
from tightfit.api.finetune import finetune
from tightfit.api.parameters.finetune_options import FinetuneOptions
from tightfit.api.prune_channels import prune_channels
from tightfit.api.simulate import simulate
from tightfit.cli.app import app
from tightfit.errors import DataError, OptionError
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.training.backend import choose_backend
from tightfit.training.fake_quant.learned_scales import rounded_up

COUNT = 40


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A model and 40 samples, with labels and without."""
    folder = tmp_path_factory.mktemp("finetune")
    model = conv_net()
    write_model(model, folder / "model.tflite")
    x = np.concatenate([random_inputs(model, seed)["image"] for seed in range(COUNT)])
    np.savez(folder / "labelled.npz", x=x, y=np.arange(COUNT) % 5)
    np.savez(folder / "bare.npz", x=x)
    return folder


def train(work, output, data="bare.npz", listener=None, **options):
    chosen = FinetuneOptions(**{"scheme": "int8", "epochs": 2, "batch": 8} | options)
    return finetune(work / "model.tflite", str(work / data), output, chosen, listener=listener)


class StopError(Exception):
    """Stops a training as a power cut would."""


def test_a_stopped_training_goes_on_and_ends_as_one_that_was_not(work, tmp_path):
    whole = train(work, tmp_path / "whole.tflite", "labelled.npz")
    assert [row["epoch"] for row in whole.history] == [0, 1]
    assert not list(tmp_path.glob("*.checkpoint"))

    def stop(_stage, done, total, _metrics):
        if done > total // 2:
            raise StopError

    with pytest.raises(StopError):
        train(work, tmp_path / "again.tflite", "labelled.npz", listener=stop)
    assert not (tmp_path / "again.tflite").exists()
    assert (tmp_path / "again.tflite.checkpoint").exists()
    again = train(work, tmp_path / "again.tflite", "labelled.npz")
    # Threads add up in another order: a share of the loss differs, an epoch's worth of training does not.
    losses = [[row["loss"] for row in result.history] for result in (whole, again)]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert not list(tmp_path.glob("*.checkpoint"))


def test_the_metrics_that_are_named_measure_and_a_wrong_one_ends_before_training(work, tmp_path):
    def never(*_):
        raise AssertionError("It trains.")

    with pytest.raises(OptionError, match="Unknown metric 'acuracy'"):
        train(work, tmp_path / "a.tflite", "labelled.npz", metric="acuracy", listener=never)
    with pytest.raises(DataError, match="needs labels"):
        train(work, tmp_path / "a.tflite", metric="f1", listener=never)
    made = train(work, tmp_path / "a.tflite", "labelled.npz", epochs=1, metric="f1(micro),top5")
    assert list(made.accuracy.metrics) == ["f1", "top5"]
    assert list(made.original.metrics) == ["f1", "top5"]
    assert made.facts()["ruined"] is made.ruined


def test_the_command_writes_file_curve_and_result(work, tmp_path, capsys):
    output = tmp_path / "out" / "small.tflite"
    words = ["finetune", work / "model.tflite", "--data", work / "labelled.npz", "--sparsity", 0.5]
    words += ["--clusters", 8, "--scheme", "int8", "--epochs", 2, "--batch", 8, "-o", output, "--json"]
    app.main([str(word) for word in words], standalone_mode=False)
    facts = json.loads(capsys.readouterr().out)
    assert facts["accuracy"]["metric"] == "top1"
    assert facts["footprint"]["size_bytes"] == output.stat().st_size
    assert facts["zeros"] >= 0.5
    assert facts["values"] <= 8
    assert [row["stage"] for row in facts["history"]] == [0, 1]
    assert json.loads((output.parent / "small.training.json").read_text()) == facts
    page = (output.parent / "small.training.html").read_text()
    assert "://" not in page
    assert "Loss by epoch" in page
    found = simulate(output, str(work / "bare.npz"))
    assert found.largest_steps <= 1
    assert found.equal_decisions >= 0.95


def test_a_pruned_model_is_shown_beside_its_teacher(work, tmp_path, capsys):
    whole, small = work / "model.tflite", tmp_path / "small.tflite"
    prune_channels(whole, small, macs=0.7, multiple=1)
    app(
        ["finetune", str(small), "--teacher", str(whole), "--data", str(work / "bare.npz"), "--epochs", "1",
         "--batch", "8", "-o", str(tmp_path / "trained.tflite")],
        standalone_mode=False,
    )  # fmt: skip
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    names = [row[0] for row in rows if row and row[0].endswith(".tflite")]
    assert list(dict.fromkeys(names)) == ["model.tflite", "trained.tflite"]


def test_the_scales_of_a_trained_file_are_short(work, tmp_path):
    output = tmp_path / "short.tflite"
    train(work, output, learning_rate=0.01)
    held = [t.quantization.scale for t in read_model(output).main.tensors() if t.dtype == "int8"]
    scales = np.concatenate(held)
    assert (rounded_up(scales) == scales).all()
    assert any(scale.size > 1 for scale in held)


def test_zeros_are_left_out_of_the_file_when_asked(work, tmp_path):
    shape = {"scheme": None, "sparsity": 0.9, "epochs": 1}
    dense = train(work, tmp_path / "dense.tflite", **shape)
    sparse = train(work, tmp_path / "sparse.tflite", storage="sparse", **shape)
    assert sparse.footprint.size_bytes < dense.footprint.size_bytes
    assert sparse.zeros == pytest.approx(dense.zeros)
    assert any("stored without their zeros" in note for note in sparse.notes)
    assert sparse.accuracy.agreement == dense.accuracy.agreement


def test_validation_chooses_the_epoch_and_test_data_measures(work, tmp_path):
    """The last epochs ruin the model; the file has the weights of the best one."""
    x = np.load(work / "bare.npz")["x"]
    labels = np.arange(COUNT) % 5
    seen = []

    def loss(y, outputs):
        seen.append(y.shape)
        return -outputs[:, 0]  # towards one class: the longer, the worse

    result = finetune(
        work / "model.tflite", (x, labels), tmp_path / "best.tflite", scheme="int8", epochs=3, batch=8,
        loss=loss, learning_rate=0.2, validation=(x[:16], labels[:16]), test=(x[:12], labels[:12]),
        metric="f1,top1",
    )  # fmt: skip
    assert seen[0] == (8,)
    assert result.accuracy.n == 12
    assert set(result.accuracy.metrics) == {"f1", "top1"}
    values = [row["val_loss"] for row in result.history]
    assert len(values) == 3
    assert any(f"epoch {np.argmin(values) + 1}" in note for note in result.notes) or np.argmin(values) == 2


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        ("labelled.npz", {"loss": "mes"}, OptionError, "Unknown loss 'mes'"),
        ("labelled.npz", {"loss": {"nope": "mse"}}, OptionError, "Unknown output 'nope'"),
        ("labelled.npz", {"class_weights": {7: 2}}, OptionError, "a weight of class 7; output"),
        ("labelled.npz", {"metric": "accurcy"}, OptionError, "Unknown metric 'accurcy'"),
        ("bare.npz", {"labels": "input"}, DataError, "an output that is compared with the input has as many"),
        ("bare.npz", {"labels": "yes"}, DataError, "labels='yes' needs labels, but the data has none"),
        ("bare.npz", {"sparsity": 80.0}, OptionError, r"received 80\. Did you mean 0\.8\?"),
        (
            "bare.npz",
            {"clusters": 5000},
            OptionError,
            "Received 5000 clusters; expected 2 to 256, such as 16",
        ),
        ("bare.npz", {"batch": 64}, DataError, "There are 30 samples to train with and a batch takes 64"),
        ("bare.npz", {"scheme": None}, OptionError, "There is nothing to train for"),
        ("bare.npz", {"scheme": "dynamic"}, OptionError, "'dynamic' has none"),
        ("bare.npz", {"layout": "gpu"}, OptionError, "Unknown layout 'gpu'"),
        ("bare.npz", {"storage": "spares"}, OptionError, "Unknown storage 'spares'"),
        ("bare.npz", {"epochs": 0}, OptionError, "at least one epoch; received 0"),
        ("bare.npz", {"learning_rate": 2.0}, OptionError, "between 0 and 1; received 2"),
    ],
)
def test_bad_use_is_answered_in_a_sentence(work, tmp_path, data, options, error, words):
    with pytest.raises(error, match=words):
        train(work, tmp_path / "none.tflite", data, **options)
    assert not list(tmp_path.iterdir())


def test_fewer_samples_than_the_default_batch_train_together_and_it_is_said(work, tmp_path):
    result = train(work, tmp_path / "few.tflite", batch=32, epochs=1)
    assert len(result.history) == 1
    assert "Each training step takes all 30 samples: there are fewer than the 32 of a batch." in result.notes


def test_a_loss_that_is_not_a_number_stops_and_keeps_what_was_good(work, tmp_path, monkeypatch):
    from tightfit.training.loop.distillation import Distillation  # noqa: PLC0415 - loads Keras

    taught, calls = Distillation.taught, []

    def spoilt(self, x, **options):
        calls.append(options["training"])
        return taught(self, x, **options) * float("nan")

    monkeypatch.setattr(Distillation, "taught", spoilt)
    result = train(work, tmp_path / "kept.tflite", epochs=3)
    assert calls
    assert not result.history
    assert result.ruined  # a run that learned nothing is no success
    assert "became NaN or infinite in epoch 1" in result.notes[0]
    assert result.accuracy.agreement is not None
    assert result.accuracy.agreement >= 0.5


def test_a_float_training_that_ruins_gives_the_pruned_file_without_it(work, tmp_path):
    result = train(work, tmp_path / "kept.tflite", scheme=None, sparsity=0.3, epochs=1, learning_rate=0.9)
    assert result.kept == "start"
    assert any("the file before the training was kept" in note for note in result.notes)
    assert not result.ruined
    assert result.zeros == pytest.approx(0.3, abs=0.01)


def test_without_keras_the_answer_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(OptionError, match=r"pip install 'tightfit\[keras\]'"):
        choose_backend()


def test_a_float_model_is_simulated_by_a_scheme_only(work):
    with pytest.raises(OptionError, match=r"'model\.tflite' is float; name a scheme"):
        simulate(work / "model.tflite", str(work / "bare.npz"))

"""Every command that writes a model keeps what its file carried: names, metadata, files packed behind it."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from support import integer_models
from support.models import conv_net
from tightfit.cli.app import app
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model

FILES = {"labels.txt": b"cat\ndog\n", "vocab.txt": b"a\nb\n"}
METADATA = {"TFLITE_METADATA": b"names labels.txt", "custom": b"\0\1\2"}
COMMANDS = {
    "convert": ["convert", "{model}"],
    "float16": ["quantize", "{model}", "float16"],
    "weight8": ["quantize", "{model}", "weight8"],
    "int8": ["quantize", "{model}", "int8", "--data", "{data}"],
    "int8 inputs and outputs": ["quantize", "{model}", "int8", "--data", "{data}", "--io", "uint8"],
    "int16x8": ["quantize", "{model}", "int16x8", "--data", "{data}"],
    "prune": ["prune", "{model}", "--sparsity", "0.5"],
    "prune channels": ["prune", "{model}", "--macs", "0.7", "--pattern", "channel", "--data", "{data}"],
    "cluster": ["cluster", "{model}", "--clusters", "8"],
    "finetune": [
        "finetune",
        "{model}",
        "--scheme",
        "int8",
        "--data",
        "{data}",
        "--epochs",
        "1",
        "--batch",
        "8",
    ],
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carried")
    model = conv_net()
    model.attached, model.metadata = dict(FILES), dict(METADATA)
    model.description = "what it is"
    write_model(model, folder / "model.tflite")
    shape = model.main.inputs[0].shape
    random = np.random.default_rng(0)
    classes = model.main.outputs[0].shape[-1]
    x, y = random.uniform(0, 1, (64, *shape[1:])), random.integers(0, classes, 64)
    np.savez(folder / "data.npz", x=x.astype(np.float32), y=y)
    return {"model": str(folder / "model.tflite"), "data": str(folder / "data.npz")}


def run(*words):
    assert app.main(args=list(words), standalone_mode=False) in (None, 0, 1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras's backends
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_keeps_what_the_file_carried(command, places, tmp_path):
    if command == "finetune" and importlib.util.find_spec("keras") is None:
        pytest.skip("needs keras: the extra 'keras'")
    output = tmp_path / "out.tflite"
    run(*(word.format(**places) for word in COMMANDS[command]), "-o", str(output))
    before, after = read_model(places["model"]), read_model(output)
    assert after.attached == FILES
    assert METADATA.items() <= after.metadata.items()
    assert after.description == before.description
    for old, new in zip(before.signatures, after.signatures, strict=True):
        assert (old.key, list(old.inputs), list(old.outputs)) == (
            new.key,
            list(new.inputs),
            list(new.outputs),
        )
    names = [[t.name for t in (*m.main.inputs, *m.main.outputs)] for m in (before, after)]
    assert names[0] == names[1]


def test_check_fix_keeps_what_the_file_carried(tmp_path):
    model = integer_models.with_float_ends(integer_models.conv())
    model.attached, model.metadata = dict(FILES), dict(METADATA)
    write_model(model, tmp_path / "model.tflite")
    run(
        "check",
        str(tmp_path / "model.tflite"),
        "--target",
        "edge-tpu",
        "--fix",
        "-o",
        str(tmp_path / "f.tflite"),
    )
    after = read_model(tmp_path / "f.tflite")
    assert after.attached == FILES
    assert METADATA.items() <= after.metadata.items()


def test_optimize_keeps_what_the_file_carried_in_every_candidate(places, tmp_path):
    folder = tmp_path / "job"
    run("optimize", places["model"], "--data", places["data"], "--effort", "quick", "-o", str(folder))
    written = [folder / "best.tflite", *(folder / "candidates").glob("*.tflite")]
    assert len(written) > 1
    assert all(read_model(path).attached == FILES for path in written)

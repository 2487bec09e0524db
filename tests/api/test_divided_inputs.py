"""Every verb takes the data of the original model for a file that takes an input in pieces."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from support.models import NONE, RELU, Builder
from tightfit.api.cluster import cluster
from tightfit.api.describe_data import describe_data
from tightfit.api.doctor import doctor
from tightfit.api.evaluate import evaluate
from tightfit.api.explain import explain
from tightfit.api.finetune import finetune
from tightfit.api.optimize import optimize
from tightfit.api.prune import prune
from tightfit.api.quantize import quantize
from tightfit.api.simulate import simulate, simulate_float16
from tightfit.api.verify import diff, verify
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.graph.writer import write_model

UNITS = np.float32([500, 8, 0.2, 0.25, 900])
MIDDLES = np.float32([101325, 283, 0.5, 0.4, 0])


class Given(NamedTuple):
    """What a verb is called with."""

    model: Path
    file: Path
    data: Path
    output: Path


def sensor_model():
    """Columns of different units beside a small second input."""
    b = Builder(seed=3)
    x, image = b.input("x", [1, 5]), b.input("image", [1, 4])
    y = b.op("SUB", [x, b.constant("mean", MIDDLES)], [1, 5], table="SubOptions")
    y = b.op("MUL", [y, b.constant("scale", 1 / UNITS)], [1, 5], table="MulOptions")
    sides = [b.dense(y, 32, RELU), b.dense(image, 32, RELU)]
    y = b.dense(b.op("ADD", sides, [1, 32], table="AddOptions"), 32, RELU)
    return b.model(b.dense(y, 3, NONE))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The float model, its file with pieces, and labelled data of the whole inputs."""
    folder = tmp_path_factory.mktemp("pieces")
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (160, 5)) * UNITS + MIDDLES
    image = random.uniform(-1, 1, (160, 4))
    labels = random.integers(0, 3, 160)
    np.savez(folder / "data.npz", x=x.astype("f"), image=image.astype("f"), y=labels)
    write_model(sensor_model(), folder / "m.tflite")
    options = {"data": folder / "data.npz", "target": "micro", "io": "int8", "doctor": False}
    quantize(folder / "m.tflite", "int8", folder / "o.tflite", **options)
    assert len(input_names(read_model(folder / "o.tflite"))) > 2
    return folder / "m.tflite", folder / "o.tflite", folder / "data.npz"


VERBS = {
    "doctor": lambda g: doctor(g.file, g.data),
    "explain": lambda g: explain(g.model, g.file, g.data, evaluation=8, remedies=False),
    "explain alone": lambda g: explain(g.file, g.file, g.data, evaluation=8, remedies=False),
    "simulate": lambda g: simulate(g.file, g.data, limit=20),
    "simulate_float16": lambda g: simulate_float16(g.file, g.data, limit=4),
    "evaluate": lambda g: evaluate([g.file, g.model], g.data),
    "evaluate after": lambda g: evaluate([g.model, g.file], g.data),
    "diff": lambda g: diff(g.file, g.model, g.data),
    "verify": lambda g: verify(g.file, g.data),
    "describe_data": lambda g: describe_data(g.data, g.file),
    "quantize": lambda g: quantize(g.file, "int8", g.output, data=g.data),
    "prune": lambda g: prune(g.file, g.output, sparsity=0.5, data=g.data),
    "cluster": lambda g: cluster(g.file, g.output, clusters=8, data=g.data),
}

WRITING = ("quantize", "prune", "cluster")


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_divides_the_samples(made, tmp_path, verb):
    found = VERBS[verb](Given(*made, tmp_path / "new.tflite"))
    if verb.startswith("evaluate"):
        assert found[1].agreement > 0.8
    else:
        assert found.headline()
        assert (tmp_path / "new.tflite").is_file() == (verb in WRITING)


@pytest.mark.slow
def test_finetune_divides_the_samples(made, tmp_path):
    _, file, data = made
    assert finetune(file, data, tmp_path / "new.tflite", scheme="int8", epochs=1)


@pytest.mark.slow
def test_optimize_divides_the_samples(made, tmp_path):
    _, file, data = made
    assert optimize(file, data, tmp_path / "new.tflite", effort="quick", max_drop=0.2)


def test_pieces_of_simulated_inputs_are_the_device_s_own(made):
    _, file, data = made
    found = simulate(file, data, limit=20)
    assert found.samples == 20
    assert max(op.steps for op in found.ops) <= 1


def test_the_doctor_judges_the_pieces(made):
    """The columns have scales of their own in the file, so their units are no finding any more."""
    model, file, data = made
    assert any(f.kind == "mixed_units" for f in doctor(model, data))
    assert not any(f.kind == "mixed_units" for f in doctor(file, data))

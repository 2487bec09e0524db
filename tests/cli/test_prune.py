"""``prune`` and ``cluster`` on the embedded demo: what is promised is read from the written file."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tightfit.api.cluster import cluster
from tightfit.api.evaluate import evaluate
from tightfit.api.parameters.shrink_options import ShrinkOptions
from tightfit.api.prune import prune
from tightfit.api.verify import verify
from tightfit.compression.clustering import Clusters
from tightfit.compression.sparsity.pruning import Pruning
from tightfit.demo import MODEL
from tightfit.errors import OptionError
from tightfit.graph.reader import read_model
from tightfit.graph.sparsity import dense_values

CALIBRATION, EVALUATION = "tightfit.demo:calibration", "tightfit.demo:evaluation"


def weights(path, kind="CONV_2D"):
    """The large constants that feed ops of a kind, through DEQUANTIZE and DENSIFY."""
    found = []
    for op in read_model(path).main.ops:
        tensor = op.input(1) if op.kind == kind else None
        while tensor is not None and tensor.producer is not None:
            tensor = tensor.producer.input(0)
        if tensor is not None and tensor.is_constant and tensor.size >= 1024:
            found.append(dense_values(tensor))
    return found


@pytest.mark.parametrize("scheme", ["float", "weight8", "int8"])
def test_zeros_are_in_the_file_and_make_it_smaller(scheme, tmp_path):
    options = ShrinkOptions(scheme, data=CALIBRATION, calibration=40)
    done = prune(MODEL, tmp_path / "p.tflite", Pruning(0.9), options)
    found = weights(done.path)
    assert found
    assert all(abs((w == 0).mean() - 0.9) < 0.01 for w in found if scheme == "float")
    assert all((w == 0).mean() > 0.89 for w in found)
    assert done.size.size_bytes < 0.5 * done.original_size.size_bytes
    assert done.path.stat().st_size == done.size.size_bytes
    assert done.stored
    assert verify(done.path).equal


def test_samples_keep_more_decisions_than_magnitude_alone(tmp_path):
    pruned = Pruning(0.6)
    prune(MODEL, tmp_path / "plain.tflite", pruned)
    prune(MODEL, tmp_path / "fitted.tflite", pruned, ShrinkOptions(data=CALIBRATION))
    files = [MODEL, tmp_path / "plain.tflite", tmp_path / "fitted.tflite"]
    _, plain, fitted = evaluate(files, EVALUATION)
    assert fitted.agreement > 0.9
    assert 1 - fitted.agreement < 0.7 * (1 - plain.agreement)


def test_a_pattern_is_kept_in_the_file(tmp_path):
    done = prune(MODEL, tmp_path / "p.tflite", Pruning(0.5, "2:4"))
    for w in weights(done.path):
        groups = (w != 0).reshape(len(w), -1, 4).sum(axis=-1)
        assert groups.max() <= 2


@pytest.mark.parametrize("scheme", ["float", "int8"])
def test_few_values_are_in_the_file_and_compress(scheme, tmp_path):
    done = cluster(MODEL, tmp_path / "c.tflite", Clusters(16), ShrinkOptions(scheme, data=CALIBRATION))
    assert max(np.unique(w).size for w in weights(done.path)) <= 16
    assert done.size.zip_bytes < 0.4 * done.original_size.zip_bytes
    assert done.lut_bytes < done.size.size_bytes


def test_the_model_itself_is_never_the_output():
    with pytest.raises(OptionError, match="never changed"):
        prune(MODEL, MODEL, Pruning(0.5))


def test_a_scheme_that_needs_samples_says_so(tmp_path):
    with pytest.raises(OptionError, match="needs sample inputs"):
        cluster(MODEL, tmp_path / "c.tflite", Clusters(16), ShrinkOptions("int8"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prune", "--sparsity", "80"], "expected a fraction between 0 and 1, such as 0.8"),
        (["prune"], "--sparsity 0.8"),
        (["prune", "--sparsity", "0.5", "--macs", "0.5"], "--macs belong to --pattern channel"),
        (["prune", "--pattern", "channel", "--sparsity", "0.5"], "give --macs"),
        (["prune", "--sparsity", "0.9", "--pattern", "2:4"], "leaves at most 0.5 of zeros"),
        (["cluster", "--clusters", "1000"], "expected 2 to 256"),
        (["cluster", "--clusters", "16", "--scheme", "int9"], "Did you mean 'int8'"),
    ],
)
def test_wrong_use_is_one_sentence(words, message, tmp_path):
    command = [
        sys.executable,
        "-m",
        "tightfit",
        words[0],
        str(MODEL),
        *words[1:],
        "-o",
        str(tmp_path / "f.tflite"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_command_prints_json(tmp_path):
    out = tmp_path / "f.tflite"
    command = [
        sys.executable,
        "-m",
        "tightfit",
        "cluster",
        str(MODEL),
        "--clusters",
        "8",
        "-o",
        str(out),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["path"] == str(out)
    assert facts["values"] <= 8
    assert facts["size"]["size_bytes"] == out.stat().st_size


def test_the_channel_pattern_writes_a_smaller_float_file(tmp_path):
    out = tmp_path / "f.tflite"
    given = [
        "prune",
        str(MODEL),
        "--pattern",
        "channel",
        "--macs",
        "0.7",
        "--no-refit",
        "-o",
        str(out),
        "--json",
    ]
    command = [sys.executable, "-m", "tightfit", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["macs"] <= 0.7 * facts["original_macs"]
    assert out.stat().st_size < MODEL.stat().st_size

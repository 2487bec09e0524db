"""What ``tightfit data`` understands of data."""

import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import tightfit
from support.models import conv_net
from tightfit.cli.app import app
from tightfit.data.sample import Sample
from tightfit.graph.writer import write_model
from tightfit.report.page.sample_sheet import TILE, sample_sheet

X = np.random.default_rng(0).uniform(-1, 3, (30, 16, 16, 3)).astype(np.float32)
Y = np.arange(30) % 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "net.tflite"
    write_model(conv_net(), path)
    return path


def test_ranges_labels_and_metrics_are_told(model, tmp_path):
    found = tightfit.describe_data((X, Y), model, tmp_path / "sheet.png", limit=25)
    assert (found.count, found.read, found.kind) == (30, 25, "function")
    row = found.inputs[0]
    assert (row.low, row.high) == (pytest.approx(float(X[:25].min())), pytest.approx(float(X[:25].max())))
    assert row.mean == pytest.approx(float(X[:25].mean()), rel=1e-5)
    assert row.std == pytest.approx(float(X[:25].std()), rel=1e-5)
    assert found.classes == {"0": 10, "1": 10, "2": 10}
    assert [label.kind for label in found.labels] == ["class"]
    assert found.metrics[0] == "top1"
    with Image.open(found.path) as sheet:
        assert sheet.size == (6 * TILE, 4 * (TILE + 16))
    assert "sheet.png" in json.dumps(found.to_dict())


def test_the_command_prints_it(model, tmp_path):
    np.savez(tmp_path / "set.npz", x=X, y=Y)
    words = ["data", str(tmp_path / "set.npz"), "--model", str(model)]
    shown = CliRunner().invoke(app, words).stdout
    assert "set.npz: 30 samples (arrays), 30 read" in shown
    assert "16x16x3  float32" in shown
    assert "labels of output 'probabilities': class\nclasses: 0: 10, 1: 10, 2: 10\nmetric auto: top1" in shown
    assert not any(line.endswith(" ") for line in shown.splitlines())
    plain = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert plain["classes"] == {"0": 10, "1": 10, "2": 10}


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (1, 3, 8, 8), (1, 28, 28), (1, 400, 1), (1, 5), (7,)])
def test_every_shape_has_a_picture(shape):
    samples = [Sample({"x": np.full(shape, np.nan, np.float32)}, label=3), Sample({"x": np.ones(shape)})]
    assert Image.open(io.BytesIO(sample_sheet(samples))).size == (2 * TILE, TILE + 16)

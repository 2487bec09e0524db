"""The library: objects in, objects out, in a few lines."""

from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest

import tightfit
from support.models import conv_net
from support.places import ROOT
from tightfit.graph.writer import write_model

X = np.random.default_rng(0).standard_normal((40, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "net.tflite"
    write_model(conv_net(), path)
    return path


def test_the_documentation_lists_every_public_name():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = [
        line.removeprefix("::: ").rpartition(".") for line in page.splitlines() if line.startswith("::: ")
    ]
    found = {id(getattr(importlib.import_module(module), name)) for module, _, name in listed}
    public = {id(getattr(tightfit, name)) for name in tightfit.__all__ if name != "__version__"}
    assert found == public


def test_every_public_name_is_there_and_typed():
    for name in tightfit.__all__:
        assert getattr(tightfit, name) is not None
    text = (ROOT / "src" / "tightfit" / "__init__.py").read_text(encoding="utf-8")
    listed = text.split("if TYPE_CHECKING:")[1].split("__version__")[0]
    assert all(name in listed for name in tightfit.__all__ if name != "__version__")
    assert (ROOT / "src" / "tightfit" / "py.typed").is_file()


@pytest.mark.parametrize(
    "data", [X, {"image": X}, list(X), lambda: iter(X)], ids=["array", "dict", "list", "function"]
)
def test_every_kind_of_data_gives_the_file_of_the_npz(model, tmp_path, data):
    np.savez(tmp_path / "set.npz", x=X)
    options = {"calibration": 20, "provenance": False, "doctor": False}
    tightfit.quantize(model, "int8", tmp_path / "a.tflite", data=str(tmp_path / "set.npz"), **options)
    tightfit.quantize(model, "int8", tmp_path / "b.tflite", data=data, **options)
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_a_model_is_optimized_with_arrays_and_a_callable_metric(model, tmp_path):
    def margin(outputs, labels):  # noqa: ARG001 - a metric's signature
        return [float(row.max() - row.min()) for row in outputs]

    report = tightfit.optimize(
        model,
        X,
        tmp_path / "out",
        max_drop=0.5,
        metric=margin,
        effort="quick",
        only=["float16"],
        calibration=10,
    )
    assert report.path == tmp_path / "out" / "best.tflite"
    assert report.path.is_file()
    assert len(repr(report)) < 100
    assert "<table>" in report._repr_html_()
    assert [c["name"] for c in report.to_dict()["candidates"]][1:] == ["float16"]


def test_verbs_take_keywords(model, tmp_path):
    small = tightfit.prune(model, tmp_path / "small.tflite", sparsity=0.8, data=X)
    assert small.path.is_file()
    with pytest.raises(tightfit.OptionError, match=r"option of prune 'sparsty'.*Did you mean 'sparsity'"):
        tightfit.prune(model, tmp_path / "x.tflite", sparsty=0.8)
    with pytest.raises(tightfit.OptionError, match="option of quantize 'layot'"):
        tightfit.quantize(model, "float16", tmp_path / "x.tflite", layot="cpu")
    made = tightfit.quantize(model, "int8", tmp_path / "io.tflite", data=X, io="int8")
    assert made.plan.scheme.interface == "int8"
    assert len(repr(made)) < 250
    assert tightfit.evaluate(model, X)[0].value == 1.0


def test_stages_are_logged(model, tmp_path, caplog):
    caplog.set_level("INFO", "tightfit")
    tightfit.optimize(model, X, tmp_path / "out", only=["float16"], judge="estimate", calibration=10)
    assert any("float16" in record.message for record in caplog.records)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        tightfit.optimise  # noqa: B018 - it is asked for


def test_importing_stays_light():
    code = "import sys, tightfit; sys.exit(any(m in sys.modules for m in ('numpy', 'keras', 'rich')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

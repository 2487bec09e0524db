"""The published JSON schemas are those of the types, and describe what the commands print."""

import json

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from support.models import conv_net
from support.places import ROOT
from tightfit.api.results.schemas import schemas
from tightfit.cli.app import app
from tightfit.graph.writer import write_model

FOLDER = ROOT / "docs" / "schemas"
X = np.random.default_rng(0).standard_normal((24, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schemas")
    write_model(conv_net(), folder / "net.tflite")
    np.savez(folder / "set.npz", x=X, y=np.arange(24) % 3)
    return folder


def test_every_schema_is_published_and_valid():
    made = schemas()
    assert {path.stem for path in FOLDER.glob("*.json")} == set(made)
    for name, schema in made.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
        assert json.loads(text) == schema, "run: python docs/generate.py"


@pytest.mark.parametrize("name", ["data", "evaluate", "diff", "prune", "cluster"])
def test_what_a_command_prints_is_as_its_schema_says(work, name):
    model, data, output = str(work / "net.tflite"), str(work / "set.npz"), str(work / f"{name}.tflite")
    words = {
        "data": [data, "--model", model],
        "evaluate": [model, "--data", data],
        "diff": [model, model],
        "prune": [model, "--sparsity", "0.5", "--data", data, "-o", output],
        "cluster": [model, "--clusters", "4", "-o", output],
    }[name]
    printed = CliRunner().invoke(app, [name, *words, "--json"]).stdout
    jsonschema.validate(json.loads(printed), schemas()[name])


def test_a_report_is_as_its_schema_says(work):
    words = ["optimize", str(work / "net.tflite"), "--data", str(work / "set.npz"), "-o", str(work / "out")]
    words += ["--only", "float16", "--judge", "estimate", "--calibration", "6"]
    CliRunner().invoke(app, [*words, "-q"], standalone_mode=False, catch_exceptions=False)
    report = json.loads((work / "out" / "report.json").read_text())
    jsonschema.validate(report, schemas()["report"])
    broken = report | {"candidates": [{"name": 3}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schemas()["report"])

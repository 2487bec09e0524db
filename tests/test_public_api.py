"""The library: objects in, objects out, in a few lines."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
import typing

import numpy as np
import pytest

import tightfit
from support.models import conv_net
from support.places import ROOT
from tightfit.graph.writer import write_model
from tightfit.spoken import in_python

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


def py_dataset():
    keras = pytest.importorskip("keras", reason="needs Keras: the extra 'keras'")

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return X[index * 10 : index * 10 + 10], np.zeros(10)

    return Batches()


def data_loader():
    data = pytest.importorskip("torch.utils.data", reason="needs torch: the extra 'torch'")
    torch = pytest.importorskip("torch")
    return data.DataLoader(data.TensorDataset(torch.from_numpy(X), torch.zeros(40)), batch_size=7)


def tf_data():
    tensorflow = pytest.importorskip("tensorflow", reason="needs TensorFlow: the extra 'tensorflow'")
    return tensorflow.data.Dataset.from_tensor_slices(X).batch(9)


KINDS = {
    "array": lambda: X,
    "pair": lambda: (X, np.zeros(40, np.int64)),
    "dict": lambda: {"image": X},
    "list": lambda: list(X),
    "function": lambda: lambda: iter(X),
    "rows of columns": lambda: [{"image": x, "label": 0} for x in X],
    "PyDataset": py_dataset,
    "DataLoader": data_loader,
    "tf.data": tf_data,
    "Dataset": lambda: tightfit.Dataset(range(40), lambda i: X[i]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_gives_the_file_of_the_npz(model, tmp_path, kind):
    data = KINDS[kind]()
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


def test_none_is_the_default_of_an_option(model, tmp_path):
    empty = dict.fromkeys(("recover", "override", "slices", "calibration", "effort", "seed"))
    same = {"data": X, "provenance": False, "doctor": False}
    found = tightfit.quantize(model, "int8", tmp_path / "none.tflite", **same, **empty)
    plain = tightfit.quantize(model, "int8", tmp_path / "plain.tflite", **same)
    assert found.path.read_bytes() == plain.path.read_bytes()


@pytest.mark.parametrize("verb", [getattr(tightfit, n) for n in tightfit.__all__ if n.islower()])
def test_the_types_of_a_verb_can_be_read(verb):
    if inspect.isfunction(verb) and hasattr(verb, "__wrapped__"):
        assert typing.get_type_hints(verb.__wrapped__)


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


def annotations_of(name):
    """Every type in the signatures of a public function, or of the public methods of a class."""
    found = getattr(tightfit, name)
    functions = [found] if inspect.isfunction(found) else []
    if inspect.isclass(found):
        yield from typing.get_type_hints(found).items()
        for key, value in vars(found).items():
            method = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if inspect.isfunction(method) and not key.startswith("_"):
                functions.append(method)
    for function in functions:
        yield from typing.get_type_hints(inspect.unwrap(function)).items()


def has_any(annotation):
    return annotation is typing.Any or any(
        has_any(part) for part in typing.get_args(annotation) if not isinstance(part, str)
    )


@pytest.mark.parametrize("name", [n for n in tightfit.__all__ if n != "__version__"])
def test_no_public_signature_has_any(name):
    found = getattr(tightfit, name)
    if inspect.isfunction(found):
        parameters = inspect.signature(found).parameters.values()
        assert all(p.kind is not p.VAR_KEYWORD for p in parameters), "an editor cannot complete **options"
    assert [(key, kind) for key, kind in annotations_of(name) if has_any(kind)] == []


SCRIPT = ROOT / "tests" / "support" / "user_script.py"


def test_mypy_accepts_a_users_script():
    words = ["--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={ROOT / '.mypy_cache'}"]
    words = [sys.executable, "-m", "mypy", *words, str(SCRIPT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT / "src")
    assert done.returncode == 0, done.stdout


def test_pyright_accepts_a_users_script(tmp_path):
    pytest.importorskip("pyright", reason="needs pyright: pip install 'pyright[nodejs]'")
    config = {"include": ["."], "extraPaths": [str(ROOT / "src")], "typeCheckingMode": "strict"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "user_script.py").write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    words = [sys.executable, "-m", "pyright", "-p", str(tmp_path), "--pythonpath", sys.executable]
    done = subprocess.run([*words, "--outputjson"], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == 1, "it looked at the script"
    assert found["generalDiagnostics"] == []


def test_finetune_takes_every_option_as_a_keyword():
    parameters = inspect.signature(tightfit.finetune).parameters
    fields = {f.name: f.default for f in dataclasses.fields(tightfit.FinetuneOptions)}
    fields["io"] = fields.pop("interface")
    assert {name: parameters[name].default for name in fields} == fields


def test_errors_name_options_as_the_caller_writes_them(model, tmp_path):
    with pytest.raises(tightfit.OptionError, match=r"name the device") as error:
        tightfit.optimize(model, X, tmp_path / "o", memory="1MB")
    assert "memory=" in str(error.value)
    assert "--" not in str(error.value)
    assert in_python("Pass --image size=224,crop=0.875.") == "Pass image='size=224,crop=0.875'."
    assert in_python("Run 'tightfit quantize m --io int8'.") == "Run 'tightfit quantize m --io int8'."
    assert in_python("Give labels, or --labels no.") == "Give labels, or labels='no'."


def test_a_model_may_be_bytes(model):
    measured = tightfit.evaluate([model, model.read_bytes()], X[:4])
    assert measured[1].agreement == 1.0
    assert measured.to_dict()["models"][1]["path"] == "bytes"


def test_progress_is_one_protocol(model):
    seen = []
    tightfit.evaluate(model, X[:4], progress=lambda stage, done, total: seen.append((stage, done, total)))
    assert seen[-1] == ("evaluating", 4, 4)
    tightfit.evaluate(model, X[:4], progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4, 4)
    with pytest.raises(tightfit.OptionError, match="Received progress of type int"):
        tightfit.evaluate(model, X[:4], progress=3)


def test_results_are_small_to_look_at(model):
    results = [
        tightfit.quantize(model, "float16"),
        tightfit.inspect(model),
        tightfit.advise({"device": "gpu"}),
        tightfit.check(model, "micro", compile=False),
        tightfit.doctor(model, X[:10]),
        tightfit.diff(model, model),
    ]
    for result in results:
        assert len(repr(result)) < 250
        assert "<table>" in result._repr_html_()
        json.dumps(result.to_dict(), allow_nan=False)
        assert list(result.notes) is not None
        assert hasattr(result, "path")


VERBS = [
    name
    for name in tightfit.__all__
    if callable(getattr(tightfit, name)) and not inspect.isclass(getattr(tightfit, name))
]


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_describes_each_argument_its_result_its_errors_and_has_an_example(name):
    verb = getattr(tightfit, name)
    text = inspect.getdoc(verb)
    sections = dict(re.findall(r"^(\w+):\n((?:[ ]+.*\n?|\n)+)", text, flags=re.MULTILINE))
    parameters = [p for p in inspect.signature(verb).parameters if p not in ("self", "cls")]
    described = re.findall(r"^    \*{0,2}(\w+):", sections.get("Args", ""), flags=re.MULTILINE)
    assert described == parameters
    assert sections["Returns"].strip()
    assert re.match(r"\s+[A-Z]\w+Error: ", sections["Raises"])
    calls = [
        node
        for line in re.findall(r"``(tightfit\..+)``|^    >>> (.+)$", sections["Example"], flags=re.MULTILINE)
        for node in ast.walk(ast.parse("".join(line)))
        if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("tightfit.") == name
    ]
    assert calls, "the example calls the verb"
    for call in calls:  # with arguments that it takes
        inspect.signature(verb).bind(*call.args, **{k.arg: k.value for k in call.keywords})


def test_lists_of_results_are_small_to_look_at(model):
    for found in (tightfit.models(), tightfit.benchmark([model, model], rounds=6, seconds=1.0)):
        assert len(repr(found)) < 100
        assert "<table>" in found._repr_html_()
        json.dumps(found.to_dict(), allow_nan=False)


def test_metrics_are_taken_as_other_libraries_write_them(model):
    y = np.arange(40) % 5

    def right(outputs, labels):
        return [float(row.argmax() == label) for row, label in zip(outputs, labels, strict=True)]

    def accuracy(y_true, y_pred):
        return float(np.mean(y_true == y_pred.argmax(-1)))

    values = {tightfit.evaluate(model, (X, y), metric=m)[0].value for m in (right, accuracy, "top1")}
    assert len(values) == 1
    named = tightfit.evaluate(model, (X, y), metric={"mine": right, "other": accuracy})[0]
    assert list(named.metrics) == ["mine", "other"]
    with pytest.raises(tightfit.OptionError, match="Received a metric of type int"):
        tightfit.evaluate(model, (X, y), metric=3)


def test_what_is_no_model_is_named(tmp_path):
    with pytest.raises(tightfit.ModelError, match="The 3 bytes are no model"):
        tightfit.evaluate(b"abc", X)
    with pytest.raises(tightfit.OptionError, match="Unknown candidate 'int9'"):
        tightfit.optimize(tmp_path / "a.tflite", X, only="int9")


def test_a_result_is_a_model_for_the_next_verb(model):
    made = tightfit.quantize(model, "float16")
    measured = tightfit.evaluate([model, made], X[:4])
    assert measured.to_dict()["models"][1]["path"] == str(made.path)
    assert tightfit.inspect(tightfit.prune(made, sparsity=0.5)).path.is_file()


def test_the_version_has_its_date_in_the_changelog():
    page = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(tightfit.__version__)}\] - \d{{4}}-\d\d-\d\d$", page, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == tightfit.__version__

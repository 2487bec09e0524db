"""What lies in the folder where a command is typed is never run unless the user spelled it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import tightfit
from support.sample_reports import build
from tightfit.cli.options.command_group import COMMANDS as KNOWN
from tightfit.demo import MODEL, evaluation

NAMES = (
    "numpy psutil pandas tensorflow torch keras jax jaxlib onnx onnxruntime h5py PIL scipy rich click "
    "flatbuffers ai_edge_litert litert_converter litert_torch ethosu tflite_micro struct json cryptography "
    "ml_dtypes google absl yaml optree sitecustomize usercustomize tightfit h5py setuptools pkg_resources "
    "huggingface_hub pyarrow ray"
)
"""Modules that a command, or what it imports, looks for, installed or not."""

DATA = ("--data", "d.npz")
COMMANDS = {
    "inspect": ("inspect", "m.tflite", "--json"),
    "check": ("check", "m.tflite", "--target", "ethos-u55-128"),
    "check micro": ("check", "m.tflite", "--target", "micro"),
    "advise": ("advise", "--answer", "device=gpu"),
    "models": ("models", "--max-size", "5MB"),
    "quantize": ("quantize", "m.tflite", "float16", "-o", "q.tflite"),
    "quantize int8": ("quantize", "m.tflite", "int8", *DATA, "-o", "q8.tflite"),
    "evaluate": ("evaluate", "m.tflite", *DATA),
    "evaluate by a function": ("evaluate", "m.tflite", "--data", "mine:samples"),
    "benchmark": ("benchmark", "m.tflite", "--rounds", "6"),
    "doctor": ("doctor", "m.tflite", *DATA),
    "verify": ("verify", "q8.tflite"),
    "diff": ("diff", "m.tflite", "m.tflite"),
    "prune": ("prune", "m.tflite", "--sparsity", "0.5", "-o", "p.tflite"),
    "cluster": ("cluster", "m.tflite", "--clusters", "16", "-o", "c.tflite"),
    "explain": ("explain", "m.tflite", "q8.tflite", *DATA, "--no-remedies"),
    "convert": ("convert", "n.onnx", "-o", "n.tflite"),
    "finetune": (
        "finetune",
        "m.tflite",
        *DATA,
        "--scheme",
        "int8",
        "--epochs",
        "1",
        "--batch",
        "8",
        "-o",
        "f.tflite",
    ),
    "optimize": ("optimize", "m.tflite", *DATA, "--effort", "quick", "--only", "float16", "-o", "out"),
    "prune channels": ("prune", "m.tflite", "--pattern", "channel", "--macs", "0.7", "-o", "h.tflite"),
    "simulate": ("simulate", "m.tflite", *DATA, "--scheme", "int8", "--limit", "8"),
    "simulate a phone": ("simulate", "m.tflite", *DATA, "--device", "phone", "--limit", "8"),
    "data": ("data", "d.npz", "--model", "m.tflite", "-o", "sheet.png"),
    "deploy": ("deploy", "q8.tflite", "-o", "application"),
    "compare": ("compare", "report.json", "report.json", "-o", "compare.html"),
    "track": ("track", "report.json", "--tensorboard", "events"),
    "track in MLflow": ("track", "report.json", "--mlflow", "mine", "--tracking-uri", "runs"),
    "sign": ("sign", "m.tflite", "--key", "key.pem", "-o", "signed.tflite"),
}
EXTRAS = {"track": "tensorboard", "track in MLflow": "mlflow", "sign": "cryptography", "convert": "onnx"}
"""What a command needs beside the package; without it the command says so, after it looked for it."""

QUICK = (
    "inspect",
    "quantize",
    "quantize int8",
    "evaluate by a function",
    "check",
    "convert",
    "compare",
    "track",
)


KEY = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
-----END PRIVATE KEY-----
"""
"""An Ed25519 key of the numbers 0 to 31: nobody's."""

FOLDERS = ("keras", "jax", "onnx", "ray")
"""Those that are packages instead of single files."""


def _write_plug_in(place):
    """What an installed package with plug-ins leaves: here it is installed nowhere."""
    facts = place / "strange-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1\n")
    groups = ("targets", "metrics", "data", "recoveries")
    points = "".join(f"[tightfit.{g}]\nnpz = numpy:strange\ncpu = numpy:strange\n" for g in groups)
    (facts / "entry_points.txt").write_text(points)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder full of modules that leave a mark, with a model and data."""
    place = tmp_path_factory.mktemp("strange")
    for name in NAMES.split():
        marks = f"open({str(place / 'marks')!r}, 'a').write('{name}\\n')"
        code = f"{marks}\nraise SystemExit(9)\n"
        if name in FOLDERS:
            (place / name).mkdir()
            (place / name / "__init__.py").write_text(code)
        else:
            (place / f"{name}.py").write_text(code)
    (place / "strange.pth").write_text("import numpy\n")
    _write_plug_in(place)
    (place / "m.tflite").write_bytes(MODEL.read_bytes())
    pairs = list(evaluation())[:40]
    np.savez(place / "d.npz", x=np.concatenate([x for x, _ in pairs]), y=np.array([y for _, y in pairs]))
    (place / "mine.py").write_text(
        "import numpy as np\nfrom beside import COUNT\n\n\ndef samples():\n"
        "    import later\n"
        "    for i in range(COUNT):\n        yield np.full((28, 28, 1), i / 9, np.float32), i % 10\n"
    )
    (place / "beside.py").write_text("COUNT = 20\n")
    (place / "later.py").write_text("")
    (place / "key.pem").write_text(KEY)
    build().write(place / "report.json")
    if find_spec("onnx") is not None:
        import onnx  # noqa: PLC0415 - optional
        from onnx import TensorProto, helper  # noqa: PLC0415 - optional

        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3]) for n in "xy"]
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
            place / "n.onnx",
        )
    return place


SOURCES = str(Path(tightfit.__file__).parents[1])
MAIN = "sys.argv[0] = 'tightfit'; from tightfit.cli import main; main()"
START = f"import sys; sys.path[0] = {SOURCES!r}; {MAIN}"


def run(folder, words, path=None):
    """Runs a command as its console script does: the working folder is not on ``sys.path`` at the start."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {} if path is None else {"PYTHONPATH": path}
    start = ("-c", START) if path is None else ("-P", "-c", f"import sys; {MAIN}")
    command = [sys.executable, *start, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    "name", [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in COMMANDS]
)
def test_no_command_runs_what_lies_in_the_folder(name, folder):
    if name == "convert" and not (folder / "n.onnx").exists():
        pytest.skip("onnx is not installed: pip install 'tightfit[onnx]'")
    if "q8.tflite" in COMMANDS[name] and name != "quantize int8" and not (folder / "q8.tflite").exists():
        run(folder, COMMANDS["quantize int8"])
    (folder / "marks").unlink(missing_ok=True)
    done = run(folder, COMMANDS[name])
    assert not (folder / "marks").exists(), (folder / "marks").read_text()
    missing = find_spec(EXTRAS.get(name, "tightfit")) is None
    assert done.returncode in ((2,) if missing else (0, 1)), done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_is_tried():
    assert {words[0] for words in COMMANDS.values()} == set(KNOWN)


@pytest.mark.parametrize("words", ["quantize int8", "evaluate by a function"])
def test_an_empty_entry_of_pythonpath_does_not_name_the_folder(words, folder):
    """As ``PYTHONPATH=/somewhere:$PYTHONPATH`` leaves one; Python itself takes site modules from it."""
    for name in ("sitecustomize.py", "usercustomize.py"):
        (folder / name).unlink(missing_ok=True)
    (folder / "marks").unlink(missing_ok=True)
    done = run(folder, COMMANDS[words], path=SOURCES + os.pathsep)
    assert not (folder / "marks").exists(), (folder / "marks").read_text()
    assert done.returncode == 0, done.stderr


def test_the_test_would_see_a_module_that_is_run(folder):
    marks = folder / "marks"
    marks.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", "import numpy"], cwd=folder, capture_output=True, check=False)
    assert marks.read_text() == "numpy\n"
    marks.unlink()

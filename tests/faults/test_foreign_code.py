"""What lies in the folder where a command is typed is never run unless the user spelled it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from tightfit.demo import MODEL, evaluation

NAMES = (
    "numpy psutil pandas tensorflow torch keras jax jaxlib onnx onnxruntime h5py PIL scipy rich click "
    "flatbuffers ai_edge_litert litert_converter litert_torch ethosu tflite_micro struct json cryptography "
    "ml_dtypes google absl yaml optree"
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
    "finetune": ("finetune", "m.tflite", *DATA, "--scheme", "int8", "--epochs", "1", "-o", "f.tflite"),
}
QUICK = ("inspect", "quantize", "quantize int8", "evaluate by a function", "check", "convert")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder full of modules that leave a mark, with a model and data."""
    place = tmp_path_factory.mktemp("strange")
    for name in NAMES.split():
        marks = f"open({str(place / 'marks')!r}, 'a').write('{name}\\n')"
        (place / f"{name}.py").write_text(f"{marks}\nraise SystemExit(9)\n")
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


START = "import sys; del sys.path[0]; sys.argv[0] = 'tightfit'; from tightfit.cli import main; main()"


def run(folder, words):
    """Runs a command as its console script does: the working folder is not on ``sys.path`` at the start."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c", START, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    "name", [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in COMMANDS]
)
def test_no_command_runs_what_lies_in_the_folder(name, folder):
    if name == "convert" and not (folder / "n.onnx").exists():
        pytest.skip("onnx is not installed: pip install 'tightfit[onnx]'")
    if "q8.tflite" in COMMANDS[name][:3] and not (folder / "q8.tflite").exists():
        run(folder, COMMANDS["quantize int8"])
    (folder / "marks").unlink(missing_ok=True)
    done = run(folder, COMMANDS[name])
    assert not (folder / "marks").exists(), (folder / "marks").read_text()
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr


def test_the_test_would_see_a_module_that_is_run(folder):
    marks = folder / "marks"
    marks.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", "import numpy"], cwd=folder, capture_output=True, check=False)
    assert marks.read_text() == "numpy\n"
    marks.unlink()

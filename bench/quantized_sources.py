"""Quantizes small networks with each producer in its own environment, converts them, and counts steps.

    python bench/quantized_sources.py --environments FOLDER [--only NAME ...]

FOLDER holds one virtual environment a producer (see ``ENVIRONMENTS``); what is missing is left out and
said. The files are kept in FOLDER/files and made once. Per file: nodes of the source, ops on
integers, ops in float between integers, the largest distance of an op from its formula in steps (default
delegate, and LiteRT's own kernels), how the outputs differ from onnxruntime, and the notes.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from exact_steps import Steps, measure
from tightfit.api.convert import convert
from tightfit.conversion.load_model import load
from tightfit.errors import TightfitError
from tightfit.pipeline.source import open_source
from tightfit.runtime.session import Session

HERE = Path(__file__).parent / "quantized_producers"
ENVIRONMENTS = {
    "onnxruntime": ("nncf", "pip install onnx onnxruntime nncf"),
    "nncf": ("nncf", "pip install onnx onnxruntime nncf"),
    "intel": ("inc", "pip install onnx-neural-compressor prettytable scipy onnxruntime"),
    "aimet": ("aimet", "pip install aimet-onnx"),
    "torchao": ("torch", "pip install torch==2.13.0 torchao onnx onnxscript brevitas onnxoptimizer qonnx"),
    "brevitas": ("torch", "pip install torch==2.13.0 torchao onnx onnxscript brevitas onnxoptimizer qonnx"),
    "quark": ("quark", "pip install amd-quark onnxruntime torch==2.13.0 onnxruntime-extensions"),
}
SAMPLES = 4


def make(folder: Path, files: Path) -> None:
    """Runs each producer that has an environment and has not run yet."""
    for producer, (environment, how) in ENVIRONMENTS.items():
        python, stamp = folder / environment / "bin" / "python", files / f".{producer}"
        if stamp.exists():
            continue
        if not python.exists():
            print(f"left out {producer}: no environment '{environment}' ({how})")
            continue
        script = HERE / f"{producer}_files.py"
        done = subprocess.run([python, script, files], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"left out {producer}: {done.stderr.strip().splitlines()[-1][:200]}")
        else:
            stamp.touch()


def samples() -> list[np.ndarray[Any, Any]]:
    """The same inputs as the producers calibrate with."""
    random = np.random.default_rng(7)
    coarse = random.normal(0, 1, (16, 1, 3, 6, 6)).repeat(4, axis=3).repeat(4, axis=4)
    return list(np.asarray(coarse + random.normal(0, 0.2, (16, 1, 3, 24, 24)), np.float32)[:SAMPLES])


def reference(path: Path, data: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """What onnxruntime answers without its optimizer."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: x})[0] for x in data]


def words(found: dict[str, Steps]) -> str:
    """Op kinds that are not exact, with steps and share of their values."""
    off = {k: s for k, s in found.items() if s.most}
    if not off:
        return "0 steps"
    return ", ".join(f"{k} {s.most} ({s.off / s.values:.2%})" for k, s in off.items())


def report(path: Path, folder: Path, *, notes: bool) -> None:
    """Converts one file and prints its row."""
    data = samples()
    output = folder / f"{path.stem}.tflite"
    try:
        made = convert(path, output)
    except TightfitError as error:
        print(f"{path.stem:<26} refused: {error}")
        return
    source = open_source(load(path).path)
    written = open_source(output)
    counts = written.start.plan.counts() if written.start else {}
    with Session(output) as session:
        name = session.inputs[0].name
        given = [{name: x} for x in data]
        answers = [next(iter(session.run(x).values())) for x in given]
    expected = reference(path, data)
    apart = max(float(np.abs(a - e).max()) for a, e in zip(answers, expected, strict=True))
    scale = max(float(np.abs(e).max()) for e in expected)
    nodes = len(onnx.load(path, load_external_data=False).graph.node)
    default, builtin = (measure(output, source.model, given, delegate=d) for d in (True, False))
    integer = counts.get("integer", 0)
    rest = sum(v for k, v in counts.items() if k not in ("integer", "exact"))
    print(
        f"{path.stem:<26} {nodes:>4} nodes {integer:>3} integer {rest:>3} float | "
        f"default: {words(default)} | builtin: {words(builtin)} | onnxruntime: {apart:.2g} of {scale:.2g}"
    )
    for note in made.notes if notes else ():
        print(f"    {note}")


def main() -> None:
    """Makes the files and prints one row each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--notes", action="store_true")
    options = parser.parse_args()
    files = options.environments / "files"
    files.mkdir(exist_ok=True)
    make(options.environments, files)
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(files.glob("*.onnx")):
            if not path.stem.startswith("float_") and (not options.only or path.stem in options.only):
                report(path, Path(folder), notes=options.notes)


if __name__ == "__main__":
    main()

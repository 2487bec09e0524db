"""Runs the worker in a process of its own, with the Keras backend that the route needs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from tightfit.convert.conversion_options import ConversionOptions
from tightfit.convert.exporting import Exported, Probe, RouteError
from tightfit.convert.qdq.parameters import Rounding
from tightfit.errors import DataError, ModelError, OptionError

# The parent's places come last: a struct.py beside a user's script must not stand in for the library's.
_START: Final = (
    "import sys; places = sys.argv[3:]; "
    "sys.path[:0] = [p for p in places[:1] if p not in sys.path]; "
    "sys.path += [p for p in places if p not in sys.path]; "
    "from tightfit.convert.conversion_worker import main; main()"
)
_KINDS: Final = {k.__name__: k for k in (ModelError, RouteError, OptionError, DataError)}
_QUIET: Final = {"TF_CPP_MIN_LOG_LEVEL": "3", "GLOG_minloglevel": "3", "PYTHONWARNINGS": "ignore"}


def export_apart(source: str, options: ConversionOptions, environment: Mapping[str, str]) -> Exported:
    """Gives the exported form of a source, made in a child process.

    Args:
        source: a path or ``module:attribute``. environment: variables for the child.

    Raises:
        TightfitError: what the exporter refused. ModelError: the child died.
    """
    with tempfile.TemporaryDirectory(prefix="tightfit-convert-") as name:
        folder = Path(name)
        request = {"source": source, "options": options.plain()}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        words = _run(folder, environment)
        answer = folder / "answer.json"
        if not answer.is_file():
            raise ModelError(f"The conversion of '{source}' {words}")
        return _read(json.loads(answer.read_text(encoding="utf-8")), folder)


def _run(folder: Path, environment: Mapping[str, str]) -> str:
    """Runs the child to its end; gives in words how it died."""
    root = str(Path(__file__).resolve().parents[2])
    places = [root, *(str(Path(place).resolve()) for place in sys.path)]
    with (folder / "log").open("wb") as log:
        process = subprocess.run(
            [sys.executable, "-P", "-c", _START, "convert", str(folder), *places],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **_QUIET, **environment},
            check=False,
        )
    code = process.returncode
    manner = f"died with {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    lines = (folder / "log").read_text("utf-8", "replace").strip().splitlines()
    return f"{manner}. Its last words: {lines[-1].strip()[:300]}" if lines else f"{manner}."


def _read(answer: dict[str, Any], folder: Path) -> Exported:
    if "error" in answer:
        raise _KINDS.get(answer["kind"], ModelError)(answer["error"])
    probes = [_probe(row, i, folder) for i, row in enumerate(answer["probes"])]
    rounding = None if answer.get("rounding") is None else Rounding.of(answer["rounding"])
    return Exported((folder / "raw.tflite").read_bytes(), probes, answer["route"], answer["notes"], rounding)


def _probe(row: dict[str, Any], position: int, folder: Path) -> Probe:
    sides = []
    for side in ("inputs", "outputs"):
        with np.load(folder / f"{side}{position}.npz", allow_pickle=False) as arrays:
            sides.append({n: arrays[f"a{j}"] for j, n in enumerate(row[side])})
    return Probe(sides[0], sides[1], row["signature"])

"""Runs the worker in a process of its own, with the Keras backend that the route needs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.exporting import Exported, ExportProbe, Lowered, RouteError, UnreadableError
from tightfit.conversion.formats import is_spec
from tightfit.conversion.qdq.qdq_parameters import Rounding
from tightfit.conversion.stablehlo.converter_process import command as converter
from tightfit.conversion.stablehlo.converter_process import leave
from tightfit.conversion.state_variables import StateValue
from tightfit.errors import DataError, ModelError, OptionError
from tightfit.graph.format.mapped_files import map_file
from tightfit.runtime.child import process
from tightfit.runtime.child.memory import VARIABLE, memory_limit, size_text
from tightfit.runtime.child.sandbox import is_wanted, missing_note
from tightfit.scratch import scratch_folder

_KINDS: Final = {k.__name__: k for k in (ModelError, RouteError, UnreadableError, OptionError, DataError)}
_WORKER: Final = "tightfit.conversion.conversion_worker"
_MEMORY_SIGNS: Final = ("bad_alloc", "MemoryError", "Cannot allocate memory", "Out of memory")
_QUIET: Final = {"TF_CPP_MIN_LOG_LEVEL": "3", "GLOG_minloglevel": "3", "PYTHONWARNINGS": "ignore"}
# What is freed goes back to the system at once: the weights pass through several hands.
_FRUGAL: Final = {"MALLOC_MMAP_THRESHOLD_": "262144"}


def export_apart(source: str, options: ConversionOptions, environment: Mapping[str, str]) -> Exported:
    """Return the exported form of a source, made in a child process.

    Args:
        source: a path or ``module:attribute``.
        options: how the source is converted.
        environment: variables for the child.

    Raises:
        TightfitError: what the exporter refused. ModelError: the child died.
    """
    try:
        return _exported(source, options, environment)
    except UnreadableError:
        return _exported(source, replace(options, as_text=True), environment)


def _exported(source: str, options: ConversionOptions, environment: Mapping[str, str]) -> Exported:
    with scratch_folder() as folder:
        request = {"source": source, "options": options.plain()}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        own_code = is_spec(source)
        confinement = _confinement(folder, sandbox=not own_code and not options.trust)
        command = process.command(_WORKER, ["convert", str(folder)], confinement, own_code=own_code)
        words = _run(command, folder, environment)
        return _read(_answer(folder, source, words), folder)


def convert_apart(exported: Exported, label: str) -> Exported:
    """Return what was exported in this process with its module converted in a process of its own.

    Raises:
        UnreadableError: the module must be handed over as text. ModelError: the converter refuses or dies.
    """
    if not isinstance(exported.data, Lowered):
        return exported
    with scratch_folder() as folder:
        place = folder / "module.mlir"
        shutil.move(exported.data.path, place)
        leave(folder, replace(exported.data, path=place), {})
        words = _run(converter(folder, _confinement(folder, sandbox=True)), folder, {})
        answer = _answer(folder, label, words)
        if "error" in answer:
            raise _KINDS.get(answer["kind"], ModelError)(answer["error"])
        return replace(exported, data=map_file(folder / "raw.tflite"))


def _answer(folder: Path, source: str, words: str) -> dict[str, Any]:
    answer = folder / "answer.json"
    if not answer.is_file():
        raise ModelError(f"The conversion of '{source}' {words}")
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def _confinement(folder: Path, *, sandbox: bool) -> process.Confinement:
    return process.Confinement(
        memory_limit(),
        sandbox=is_wanted() and sandbox,
        writable=(str(folder),),
        dies_with_parent=process.from_main_thread(),
    )


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Runs the child to its end; gives in words how it died."""
    limit = memory_limit()
    with (folder / "log").open("wb") as log:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=process.environment({"TMPDIR": str(folder), **_QUIET, **_FRUGAL, **environment}),
            check=False,
        )
    text = (folder / "log").read_text("utf-8", "replace")
    words = f"{process.describe_exit(done.returncode)}."
    if limit is not None and any(sign in text for sign in _MEMORY_SIGNS):
        return f"{words} It may allocate {size_text(limit)}; {VARIABLE} sets another limit."
    said = process.last_line(text)
    return f"{words} Its last words: {said}" if said else words


def _read(answer: dict[str, Any], folder: Path) -> Exported:
    if "error" in answer:
        raise _KINDS.get(answer["kind"], ModelError)(answer["error"])
    probes = [_probe(row, i, folder) for i, row in enumerate(answer["probes"])]
    rounding = None if answer.get("rounding") is None else Rounding.of(answer["rounding"])
    confined = answer.get("confined")
    notes = [*answer["notes"], *(() if confined is None else missing_note(confined.split()))]
    data, state = map_file(folder / "raw.tflite"), _state(answer.get("state", []), folder)
    return Exported(data, probes, answer["route"], notes, rounding, state)


def _state(rows: list[list[str]], folder: Path) -> list[StateValue]:
    if not rows:
        return []
    with np.load(folder / "state.npz", allow_pickle=False) as arrays:
        return [StateValue(n, given, after, arrays[f"a{i}"]) for i, (n, given, after) in enumerate(rows)]


def _probe(row: dict[str, Any], position: int, folder: Path) -> ExportProbe:
    sides = []
    for side in ("inputs", "outputs"):
        with np.load(folder / f"{side}{position}.npz", allow_pickle=False) as arrays:
            sides.append({n: arrays[f"a{j}"] for j, n in enumerate(row[side])})
    return ExportProbe(sides[0], sides[1], row["signature"])

"""The child process of a conversion: frameworks are imported here and nowhere else when a file is converted.

A process of its own lets one session convert models of several Keras backends, keeps TensorFlow's and torch's
memory out of the session, and survives a converter that aborts.
"""

from __future__ import annotations

import json
import os
import sys
import types
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.exporting import Exported, ExportProbe, Lowered
from tightfit.conversion.formats import KERAS, ONNX, TORCH, Format, find_format, is_spec
from tightfit.conversion.stablehlo.converter_process import become_converter, leave
from tightfit.data.user_code import load_function
from tightfit.errors import ModelError, TightfitError, first_line
from tightfit.runtime.child.confinement import CONFINED
from tightfit.runtime.child.memory import VARIABLE, memory_limit, size_text


def main() -> None:
    """Converts what the request file names; the answer stands beside it in ``answer.json``."""
    folder = Path(sys.argv[2])
    answer: dict[str, Any]
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    try:
        exported = export_source(request["source"], ConversionOptions.of(request["options"]))
        rounding = None if exported.rounding is None else exported.rounding.plain()
        answer = {"route": exported.route, "notes": exported.notes, "probes": _save(exported.probes, folder)}
        answer |= {"rounding": rounding, "confined": os.environ.get(CONFINED)}
        answer["state"] = [[v.name, v.given, v.next_value] for v in exported.state]
        initial: dict[str, Any] = {f"a{i}": v.initial for i, v in enumerate(exported.state)}
        np.savez(folder / "state.npz", **initial)
        if isinstance(exported.data, Lowered):
            leave(folder, exported.data, answer)
            become_converter(folder)
        else:
            (folder / "raw.tflite").write_bytes(exported.data)
    except TightfitError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    except MemoryError:
        answer = {"error": _memory_sentence(request["source"]), "kind": "ModelError"}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - what a framework raises on a damaged file is no bug of ours
        said = f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__
        words = (
            f"'{request['source']}' cannot be converted: {said.rstrip('.')}. Check that the file is whole."
        )
        answer = {"error": words, "kind": "ModelError"}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _memory_sentence(source: str) -> str:
    limit = memory_limit()
    known = "" if limit is None else f" of {size_text(limit)} ({VARIABLE} sets another limit)"
    return f"The memory{known} is used up while converting '{source}'. Convert a smaller model."


def export_source(source: str, options: ConversionOptions) -> Exported:
    """Return the exported form of a path or of ``module:attribute``."""
    if is_spec(source):
        return export_object(load_object(source), options)
    path = Path(source)
    if path.suffix.lower() == ".tflite":
        raise ModelError(f"'{path}' is a .tflite already; pass its path instead of module:attribute.")
    row = find_format(path)
    row.check_installed()
    return _exported(row, path, options)


def export_object(model: Any, options: ConversionOptions) -> Exported:
    """Return the exported form of a model object; a function or class is called first.

    Raises:
        ModelError: it is of no framework that is known.
    """
    if isinstance(model, types.FunctionType | types.MethodType | type):
        model = model()
    if isinstance(model, str | Path):
        return export_source(str(model), options)
    if isinstance(model, tuple) and len(model) == 2 and hasattr(model[0], "named_parameters"):
        TORCH.check_installed()
        return _exported(TORCH, model, options)
    names = {c.__module__.split(".")[0] for c in type(model).__mro__}
    for package, row in (("keras", KERAS), ("torch", TORCH), ("onnx", ONNX)):
        if package in names:
            if row is not KERAS:
                row.check_installed()
            return _exported(row, model, options)
    raise ModelError(
        f"Received an object of type {type(model).__name__}; expected a Keras model, a torch module, an ONNX "
        "ModelProto, (torch module, example inputs), bytes, a path, or a function that gives one. Samples "
        "are given as the data."
    )


def load_object(spec: str) -> Any:
    """Return what ``module:attribute`` names; naming it is the user's word that its code may run."""
    return load_function(spec, "a model, or a function that gives one")


def _exported(row: Format, source: Any, options: ConversionOptions) -> Exported:
    exported: Exported = import_module(f"tightfit.conversion.{row.module}").export(source, options)
    return exported


def _save(probes: list[ExportProbe], folder: Path) -> list[dict[str, Any]]:
    """Writes the arrays of the probes; the answer names them."""
    listed = []
    for i, probe in enumerate(probes):
        for side, arrays in (("inputs", probe.inputs), ("outputs", probe.outputs)):
            named: dict[str, Any] = {f"a{j}": a for j, a in enumerate(arrays.values())}
            np.savez(folder / f"{side}{i}.npz", **named)
        listed.append(
            {"inputs": list(probe.inputs), "outputs": list(probe.outputs), "signature": probe.signature}
        )
    return listed

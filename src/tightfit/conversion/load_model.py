"""From any model to a float ``.tflite`` that was compared with its source: export, clean, rename, write, run.

``load`` is the verb; the other verbs take any MODEL through ``open_model``. Neither knows a framework:
``formats`` has a row for each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.conversion_process import convert_apart, export_apart
from tightfit.conversion.conversion_result import ConversionResult
from tightfit.conversion.exporting import Exported, ExportProbe, Lowered, RouteError, UnreadableError
from tightfit.conversion.formats import KERAS, check_installed, find_format, is_spec, is_tflite
from tightfit.conversion.free_batch import free_batch
from tightfit.conversion.fusions.fuse import fuse
from tightfit.conversion.held_models import file_of, held_file, label_of, temporary_place
from tightfit.conversion.hub import fetch, is_hub_reference
from tightfit.conversion.interface import make_names_unique, name_tensors, take_bytes
from tightfit.conversion.keras.safe_files import check_file
from tightfit.conversion.qdq.restore import restore, restore_interface
from tightfit.conversion.source_comparison import OutputDifference, broken_notes, compare
from tightfit.conversion.stablehlo.left_ops import left_notes, without_kernel
from tightfit.conversion.state_variables import keep_state
from tightfit.conversion.unread_options import refuse_unread
from tightfit.errors import ModelError, RuntimeFailureError
from tightfit.files import checked_write
from tightfit.graph.format.mapped_files import map_file
from tightfit.graph.ir import Model
from tightfit.graph.ops.sequence_lstm import KIND as LSTM
from tightfit.graph.passes.clean import clean
from tightfit.graph.passes.loop_turns import KIND as LOOP
from tightfit.graph.passes.unrolled_loops import unroll_loops
from tightfit.graph.passes.unrolled_lstm import LONGEST, unroll_lstms, why_whole
from tightfit.graph.reader import read_model
from tightfit.graph.versions.op_version import min_runtime_version
from tightfit.graph.writer import write_model
from tightfit.kinds import ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.spoken import verb

_BACKENDS: Final = {
    "jax": (("keras", "jax", "litert_converter"), "keras"),
    "tensorflow": (("keras", "tensorflow"), "tensorflow"),
    "torch": (("keras", "torch", "litert_torch"), "torch"),
}


@verb()
def load(
    source: ModelLike, output: Pathlike | None = None, options: ConversionOptions | None = None
) -> ConversionResult:
    """Return the float ``.tflite`` of a model of any framework, compared with its source on random inputs.

    Args:
        source: the path of a ``.tflite``, ``.keras``, ``.h5``, ``.onnx``, ``.pt2`` or SavedModel folder,
            ``module:attribute``, or a Keras, torch or ONNX model object.
        output: the file to write; by default one that lives as long as this process.
        options: see ``ConversionOptions``.

    Returns:
        the file, the tools that it went through, and the largest difference of each output.

    Raises:
        ModelError: the source cannot be converted, or the result differs from it.
        OptionError: a package is missing, or an option is wrong.

    Example:
        >>> load("model.bin")
        Traceback (most recent call last):
        ...
        tightfit.errors.ModelError: There is no model 'model.bin'; check the path. Expected .tflite, .keras, \
.h5, .onnx, .pt2, a SavedModel folder or module:attribute.
    """
    chosen, start = options or ConversionOptions(), time.perf_counter()
    source = file_of(source)
    label = label_of(source)
    if is_hub_reference(source):
        source = fetch(source)
    if isinstance(source, bytes | bytearray | memoryview):
        source = held_file(bytes(source))
    path = temporary_place(label) if output is None else Path(output)
    check_paths({"model": source}, {"The output": output})
    refuse_unread(source, chosen)
    try:
        exported, notes, differences = _convert(source, chosen, path)
    except (ModelError, RuntimeFailureError):
        if chosen.batch is not None or chosen.trace_batch:
            raise
        exported, notes, differences = _convert(source, replace(chosen, trace_batch=True), path)
    _routes[path] = label, exported.route
    return ConversionResult(path, label, exported.route, differences, time.perf_counter() - start, notes)


_routes: dict[Path, tuple[str, str]] = {}


def route_of(path: Path) -> tuple[str, str] | None:
    """Return (source, route) of a file that this process converted; None for any other."""
    return _routes.get(path)


def _convert(
    source: Any, options: ConversionOptions, path: Path
) -> tuple[Exported, list[str], list[OutputDifference]]:
    """Export, tidy, write and compare with the source."""
    exported = _export(source, options)
    assert not isinstance(exported.data, Lowered)  # noqa: S101 - _export converts what was lowered
    model = read_model(exported.data)
    rounding = exported.rounding
    restored = [] if rounding is None else restore(model, rounding.constants)
    notes = [*exported.notes, *restored, *_tidy(model)]
    if options.recurrent == "unrolled":
        notes += [*unroll_lstms(model), *unroll_loops(model), *_whole_layers(model)]
    if rounding is not None:
        restore_interface(model, rounding.inputs, rounding.outputs)
    if options.batch is None:
        _free(model, exported.probes)
    keep_state(model, exported.state)
    if options.uint8 is not None:
        notes += take_bytes(model, *options.uint8)
    make_names_unique(model)
    version = min_runtime_version(model)
    if version:
        model.metadata["min_runtime_version"] = version.encode().ljust(16, b"\0")
    with checked_write(path) as trial:
        write_model(model, trial)
        try:
            differences = compare(
                trial, model, exported.probes, bytes_read=options.uint8, rounded=rounding is not None
            )
        except RuntimeFailureError as error:
            raise without_kernel(model, str(error)) or error from error
    notes += [*left_notes(model), *broken_notes(differences)]
    return exported, notes, differences


def _whole_layers(model: Model) -> list[str]:
    """The recurrent layers that were not written out, in sentences."""
    ops = [op for graph in model.graphs for op in graph.ops]
    words = [f"{op.name} ({why_whole(op)})" for op in ops if op.kind == LSTM]
    words += [f"{op.name} (its turns are not known, or more than {LONGEST})" for op in ops if op.kind == LOOP]
    return [f"Not written out: {', '.join(words)}."] if words else []


def _free(model: Model, probes: Sequence[ExportProbe]) -> None:
    """Free the batch of a file for one sample, of the inputs that the probes give several samples to.

    Raises:
        ModelError: an op fixes it.
    """
    static = {t.name: t for t in model.main.inputs if t.shape_signature is None}
    names = {
        n for p in probes for n, a in p.inputs.items() if n in static and a.shape[:1] != static[n].shape[:1]
    }
    if names and not free_batch(model, sorted(names)):
        raise ModelError("An op of the file for one sample fixes the batch.")


def _tidy(model: Model) -> list[str]:
    name_tensors(model)
    return [*clean(model), *fuse(model)]


def _export(source: Any, options: ConversionOptions) -> Exported:
    if not isinstance(source, str | os.PathLike):
        from tightfit.conversion.conversion_worker import export_object  # noqa: PLC0415 - the object's framework is loaded

        label = type(source).__name__
        try:
            return convert_apart(export_object(source, options), label)
        except UnreadableError:
            return convert_apart(export_object(source, replace(options, as_text=True)), label)
    name = os.fspath(source)
    if not is_spec(name):
        if is_tflite(name):
            if not Path(name).is_file():
                raise ModelError(f"There is no model '{name}'; check the path.")
            return Exported(map_file(Path(name)), [], "a .tflite already")
        row = find_format(Path(name))
        if row is KERAS:
            if Path(name).suffix == ".keras":  # HDF5 is read in the confined child alone
                check_file(Path(name), trust=options.trust)  # before a process starts for it
        else:
            row.check_installed()
            return export_apart(name, options, {"KERAS_BACKEND": "jax"})
    return _through_keras(name, options, own_code=is_spec(name))


def _through_keras(name: str, options: ConversionOptions, *, own_code: bool) -> Exported:
    """Try the backends in order, use the first that converts the model, and note the others' errors."""
    refusals: list[str] = []
    for backend in _backends(options, own_code=own_code):
        try:
            exported = export_apart(name, options, {"KERAS_BACKEND": backend})
        except RouteError as error:
            refusals.append(str(error))
            continue
        exported.notes[:0] = refusals
        return exported
    raise ModelError(refusals[0])


def _backends(options: ConversionOptions, *, own_code: bool) -> list[str]:
    if options.backend != "auto":
        check_installed(f"with Keras on {options.backend}", *_BACKENDS[options.backend])
        return [options.backend]
    able = [b for b, (needs, _) in _BACKENDS.items() if all(find_spec(n) is not None for n in needs)]
    if not able and own_code:
        return ["jax"]  # the code may give a model of another framework
    if not able:
        check_installed(KERAS.title, KERAS.needs, KERAS.extra)
    return able

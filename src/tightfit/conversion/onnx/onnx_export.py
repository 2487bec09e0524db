"""ONNX models: each op is written in JAX by a row of ``onnx_table`` and goes the way of Keras models.

The file is data: it is parsed with size limits by ``onnx``, weights beside it are read only from its folder,
and nothing in it is executed.
"""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.inliner import inline_local_functions

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.exporting import Exported, ExportProbe, Specs, first_line, random_arrays
from tightfit.conversion.onnx.constant_nodes import fix_default_inputs, untranslated
from tightfit.conversion.onnx.external_weights import check_external
from tightfit.conversion.onnx.graph_walk import OnnxProgram
from tightfit.conversion.onnx.onnx_ops import NEWEST_OPSET, OLDEST_OPSET, ONNX_OPS
from tightfit.conversion.onnx.onnx_values import ChannelLast, channel_last, logical
from tightfit.conversion.qdq.normal_form import (
    NormalForm,
    as_qdq,
    has_integer_kernels,
    in_range,
    integer_outputs,
    is_known_to_onnxruntime,
    is_quantized,
    normal_form,
    reals_of_inputs,
)
from tightfit.conversion.qdq.qdq_parameters import Rounding
from tightfit.conversion.stablehlo.jax_lowering import lower_function
from tightfit.errors import ModelError, printable, unknown_name

_DOMAINS = ("", "ai.onnx")
_ELEMENT_TYPES = frozenset(onnx.TensorProto.DataType.values()) - {onnx.TensorProto.UNDEFINED}
_KERNEL_NOISE = 0.005
_NARROW = {"int64": "int32", "float64": "float32", "uint64": "uint32"}


def export(source: Any, options: ConversionOptions) -> Exported:
    """Return the float ``.tflite`` of an ONNX file or ``ModelProto``.

    Raises:
        ModelError: it is damaged, its weights are missing, an op is not covered, or a shape is not known.
    """
    model = load_file(source) if isinstance(source, Path) else source
    if model.functions:
        model = inline_local_functions(model)
    model = fix_default_inputs(model, options.held)
    form = normal_form(model) if is_quantized(model) else None
    source_model, model = model, model if form is None else form.model
    check_ops(model)
    notes = _opset_notes(model)
    specs = input_specs(model, options)
    names = [o.name for o in model.graph.output]
    held = _held(model, options)
    fuses = options.recurrent == "fused" and not options.trace_batch and form is None
    loops = fuses and options.batch is not None
    program = OnnxProgram(model.graph, _opset(model), fuses=fuses, loops=loops)
    program.constants |= held
    images = [n for n, (shape, _) in specs.items() if len(shape) in (3, 4, 5)] if options.channel_last else []
    stored = {n: (_moved(s) if n in images else s, d) for n, (s, d) in specs.items()}
    moved: list[str] = []

    def function(*arrays: Any) -> list[Any]:
        given = dict(zip(stored, arrays, strict=True))
        results = program({n: ChannelLast(a) if n in images else a for n, a in given.items()})
        moved[:] = [n for n, r in zip(names, results, strict=True) if _stays_moved(r, options)]
        return [r.array if n in moved else logical(r) for n, r in zip(names, results, strict=True)]

    data = lower_function(function, stored, names, options)
    probes = _probes(source_model, specs, names, images, held, form)
    probes = [
        ExportProbe(p.inputs, {n: channel_last(a) if n in moved else a for n, a in p.outputs.items()})
        for p in probes
    ]
    if moved:
        listed = ", ".join(f"output '{name}'" for name in moved)
        notes.append(f"Channel-last like the inputs: {listed}.")
    if not probes:
        notes.append("Not compared with its source: pip install onnxruntime, which computes it.")
    notes += [] if form is None else form.notes
    rounding = None if form is None else Rounding(form.constants, form.inputs, form.outputs)
    return Exported(data, probes, "ONNX op by op in JAX, StableHLO, litert-converter", notes, rounding)


def load_file(path: Path) -> onnx.ModelProto:
    """Return the model of a file, with the weights that lie beside it.

    Raises:
        ModelError: it is no ONNX file, or a file of weights is missing or outside of the folder.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise ModelError(f"'{path.name}' is not a whole ONNX file ({first_line(error)}).") from error
    if not model.graph.node:
        raise ModelError(f"'{path.name}' is not an ONNX model: it has no node.")
    check_external(model, path.parent, path.name)
    _check_types(model, path.name)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise ModelError(
            f"'{path.name}' keeps weights in other files, which cannot be read: {first_line(error)} Put them "
            "beside it, or save the model as one file."
        ) from error
    return model


def _check_types(model: onnx.ModelProto, file: str) -> None:
    """Refuses values without an element type, which a damaged file may have."""
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.WhichOneof("value")
        known = kind == "tensor_type" and value.type.tensor_type.elem_type in _ELEMENT_TYPES
        if kind is not None and not known:
            raise ModelError(
                f"'{file}' has the input or output '{printable(value.name, 40)}', which is no tensor of a "
                "known type; "
                "export the model again."
            )
    for value in model.graph.input:
        if value.type.WhichOneof("value") is None:
            raise ModelError(
                f"'{file}' has the input '{printable(value.name, 40)}' without a type; export the model "
                "again."
            )


def check_ops(model: onnx.ModelProto) -> None:
    """Refuses a model with ops that have no row.

    Raises:
        ModelError: names them all.
    """
    unknown = Counter(untranslated(model.graph))
    if unknown:
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(unknown.items()))
        raise ModelError(
            f"The ONNX model has ops that are not translated: {listed}. docs/convert.md lists the "
            f"{len(ONNX_OPS)} that are; replace them, or end the model before."
        )


def input_specs(model: onnx.ModelProto, options: ConversionOptions) -> Specs:
    """Return the inputs with whole shapes; 64-bit types become 32-bit ones.

    Raises:
        ModelError: a dimension other than the batch is free and no shape was given.
    """
    known_names = {value.name for value in model.graph.input}
    for name in options.shapes:
        if name and name not in known_names:
            raise ModelError(unknown_name("input for --input-shape", name, known_names))
    specs: dict[str, tuple[tuple[int | None, ...], str]] = {}
    for value in model.graph.input:
        if value.name in options.held:
            continue
        tensor = value.type.tensor_type
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
        known = tuple(d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim)
        shape = options.shape_of(value.name, known)
        if shape is None or None in shape[1:] or (options.batch is not None and None in shape):
            sizes = ",".join("?" if d is None else str(d) for d in known)
            raise ModelError(
                f"The ONNX input '{value.name}' has free dimensions ({sizes}); a file needs numbers: pass "
                f"--input-shape {value.name}={sizes}."
            )
        specs[value.name] = shape, _NARROW.get(dtype, dtype)
    return specs


def _held(model: onnx.ModelProto, options: ConversionOptions) -> dict[str, Any]:
    """The inputs that always have one value, as constants.

    Raises:
        ModelError: there is no such input.
    """
    inputs = {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
    for name in options.held:
        if name not in inputs:
            raise ModelError(unknown_name("input", name, inputs))
    return {
        name: np.asarray(value, helper.tensor_dtype_to_np_dtype(inputs[name]))
        for name, value in options.held.items()
    }


def _opset(model: onnx.ModelProto) -> int:
    return next((o.version for o in model.opset_import if o.domain in _DOMAINS), 1)


def _opset_notes(model: onnx.ModelProto) -> list[str]:
    version = _opset(model)
    if OLDEST_OPSET <= version <= NEWEST_OPSET:
        return []
    return [f"Opset {version} is outside of {OLDEST_OPSET} to {NEWEST_OPSET}, which the translation follows."]


def _moved(shape: Any) -> tuple[Any, ...]:
    return (shape[0], *shape[2:], shape[1])


def _stays_moved(value: Any, options: ConversionOptions) -> bool:
    """Whether an output is an image that stays channel-last, as was asked for."""
    return options.channel_last and isinstance(value, ChannelLast)


# -- what the source makes of random inputs --------------------------------------------------------


def _probes(
    model: onnx.ModelProto,
    specs: Specs,
    names: list[str],
    images: list[str],
    held: dict[str, Any],
    form: NormalForm | None,
) -> list[ExportProbe]:
    """Runs the model in onnxruntime; nothing where that is not installed."""
    if form is not None and not is_known_to_onnxruntime(model):
        model = as_qdq(form)
    run = _evaluator(model, optimized=form is None)
    if run is None:
        return []
    formula = (
        None if form is None or not has_integer_kernels(model) else _evaluator(as_qdq(form), optimized=False)
    )
    wide = {i.name: helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type) for i in model.graph.input}
    probes = []
    for seed in range(2):
        arrays = random_arrays(specs, seed, batch=1 + 2 * seed)
        if form is not None:
            arrays |= in_range(form, arrays)
        try:
            given = held | {n: a.astype(wide[n]) for n, a in arrays.items()}
            results = run(given)
            if formula is not None and form is not None:
                results = _trusted(results, formula(reals_of_inputs(form, given)), form)
        except Exception as error:
            raise ModelError(f"The ONNX model itself does not run: {first_line(error)}") from error
        given = {n: channel_last(a) if n in images else a for n, a in arrays.items()}
        probes.append(ExportProbe(given, {n: np.asarray(r) for n, r in zip(names, results, strict=True)}))
    return probes


def _trusted(results: list[Any], computed: list[Any], form: NormalForm) -> list[Any]:
    """What the source answers, or what its formula says where onnxruntime's integer kernels differ from it.

    Without VNNI its products of uint8 and int8 saturate at 16 bits: large sums are tens of steps away.
    """
    computed = integer_outputs(form, computed)
    for result, wanted in zip(results, computed, strict=True):
        apart = float(np.square(result.astype(np.float64) - wanted).mean())
        if apart > _KERNEL_NOISE * float(np.square(wanted.astype(np.float64)).mean()):
            note = (
                "onnxruntime's integer kernels differ from the formula of the model on this machine "
                "(products of 8 bits saturate at 16 without VNNI): compared with the formula."
            )
            form.notes += [] if note in form.notes else [note]
            return computed
    return results


def _reference(model: onnx.ModelProto) -> Any:
    """ONNX's reference; None where it has no implementation either."""
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - slow to load, and few models need it

    try:
        reference = ReferenceEvaluator(model)
    except NotImplementedError:
        return None
    return lambda inputs: reference.run(None, inputs)


def _evaluator(model: onnx.ModelProto, *, optimized: bool = True) -> Any:
    """onnxruntime; a quantized model as it is written, since its optimizer rounds otherwise."""
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime  # noqa: PLC0415 - optional: it only judges

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        if "NOT_IMPLEMENTED" in str(error):  # onnxruntime has no kernel: ONNX's own reference computes it
            return _reference(model)
        raise ModelError(f"The ONNX model itself does not load: {first_line(error)}") from error
    return lambda inputs: session.run(None, inputs)

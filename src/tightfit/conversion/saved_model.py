"""SavedModel folders, and Keras models on TensorFlow, through TensorFlow's own converter.

Runs in the worker only: TensorFlow stays out of the session. A SavedModel names its ops, not Python code, but
some ops touch files; those have no ``.tflite`` form and are refused with their name.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.exporting import Exported, ExportProbe, Shape, Specs, first_line, random_arrays
from tightfit.errors import ModelError, unknown_name
from tightfit.scratch import scratch_folder

_INTERNAL: Final = "__saved_model"
_ROUTE: Final = "TensorFlow converter"


def export(source: Path, options: ConversionOptions) -> Exported:
    """Return the float ``.tflite`` of a SavedModel folder, with one signature for each of its own.

    Raises:
        ModelError: it cannot be loaded, has no such signature, or an op has no ``.tflite`` form.
    """
    try:
        loaded = tf.saved_model.load(str(source))
    except Exception as error:
        raise ModelError(f"TensorFlow cannot load the SavedModel '{source}': {first_line(error)}") from error
    functions = {k: f for k, f in loaded.signatures.items() if not k.startswith(_INTERNAL)}
    if not functions:
        raise ModelError(f"The SavedModel '{source}' has no signature; save it with signatures=….")
    if options.signature is not None:
        if options.signature not in functions:
            raise ModelError(unknown_name("signature", options.signature, functions))
        functions = {options.signature: functions[options.signature]}
    return convert_functions(loaded, {key: (_named(f), specs_of(f, options)) for key, f in functions.items()})


def export_keras(call: Any, options: ConversionOptions) -> Exported:
    """Return the float ``.tflite`` of a Keras model on the TensorFlow backend.

    Keras writes the SavedModel: variables that it does not track itself would stay variables in the file.
    """
    import keras  # noqa: PLC0415 - loaded by the caller

    def serve(*arrays: Any) -> dict[str, Any]:
        return dict(zip(call.outputs, call.flat(*arrays), strict=True))

    archive = keras.export.ExportArchive()
    archive.track(call.model)
    signature = [tf.TensorSpec(shape, dtype, name=n) for n, (shape, dtype) in call.inputs.items()]
    archive.add_endpoint("serving_default", serve, input_signature=signature)
    with scratch_folder() as folder:
        archive.write_out(str(folder), verbose=False)
        exported = export(Path(folder), options)
    exported.route = f"Keras on TensorFlow, {_ROUTE}"
    return exported


def convert_functions(holder: Any, functions: Mapping[str, tuple[Callable[..., Any], Specs]]) -> Exported:
    """Return a ``.tflite`` with one signature a function.

    Args:
        holder: owns the variables.
        functions: key → (function of named tensors, its inputs).
    """
    with scratch_folder() as folder:
        traced = {
            key: tf.function(function).get_concrete_function(
                **{n: tf.TensorSpec(shape, dtype, name=n) for n, (shape, dtype) in specs.items()}
            )
            for key, (function, specs) in functions.items()
        }
        module = tf.Module()
        module.holder = holder
        tf.saved_model.save(module, str(folder), signatures=traced)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=list(traced))
        try:
            data = converter.convert()
        except Exception as error:
            raise ModelError(_refusal(error)) from error
    probes = []
    for key, function in traced.items():
        with _unchanged(function.variables):
            probes += _probes(key, function, functions[key][1])
    return Exported(data, probes, _ROUTE)


def specs_of(function: Any, options: ConversionOptions) -> Specs:
    """Return the inputs of a signature with the wanted batch."""
    _, named = function.structured_input_signature
    specs: dict[str, tuple[Shape, str]] = {}
    for name, spec in named.items():
        known = None if spec.shape.rank is None else tuple(spec.shape.as_list())
        shape = options.shape_of(name, known)
        if shape is None or None in shape[1:]:
            raise ModelError(
                f"The input '{name}' has the free shape {spec.shape}; a file needs numbers: pass "
                f"--input-shape {name}=1,224,224,3."
            )
        specs[name] = (shape, spec.dtype.name)
    return specs


def _named(function: Any) -> Callable[..., Any]:
    """A plain Python function: TensorFlow would trace a concrete one again under its old shapes."""

    def call(**arrays: Any) -> Any:
        return function(**arrays)

    return call


@contextlib.contextmanager
def _unchanged(variables: Sequence[Any]) -> Iterator[None]:
    """Give the variables their values again after the block: each signature of a file starts from them."""
    before = [v.numpy() for v in variables]
    yield
    for variable, value in zip(variables, before, strict=True):
        if not np.array_equal(variable.numpy(), value):
            variable.assign(value)


def _probes(key: str, function: Any, specs: Specs, count: int = 2) -> list[ExportProbe]:
    probes = []
    for seed in range(count):
        arrays = random_arrays(specs, seed)
        results = function(**{n: tf.constant(a) for n, a in arrays.items()})
        probes.append(ExportProbe(arrays, {n: np.asarray(r) for n, r in results.items()}, key))
    return probes


def _refusal(error: Exception) -> str:
    """Names the ops that have no ``.tflite`` form."""
    ops = re.findall(r"tf\.(\w+) op is (?:neither|not)|^\s*tf\.(\w+)\(", str(error), re.MULTILINE)
    ops += re.findall(r"(?:Flex|Custom) ops: ([\w, ]+)", str(error))
    names = sorted({n for pair in ops for n in (pair if isinstance(pair, tuple) else pair.split(", ")) if n})
    if "TensorList" in str(error):
        return (
            "The SavedModel runs a recurrent layer (LSTM, GRU or RNN) as a loop over lists of tensors, which "
            "LiteRT has no op for; convert the model's .keras or .h5 file, whose layers are unrolled, or "
            "save it with unroll=True."
        )
    if not names:
        return f"TensorFlow's converter refuses the model: {first_line(error)}"
    return (
        f"The model uses {', '.join(names)}, which LiteRT has no op for; use others, or end the model there."
    )

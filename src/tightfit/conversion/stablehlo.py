"""A JAX function becomes a ``.tflite``: StableHLO bytecode through ``litert-converter``; no TensorFlow.

Source: the passes of ``litert_converter.converter_api_ext`` 0.5. Its parser takes StableHLO as bytecode or
text, not the versioned VHLO that ``jax.export`` serializes, so the module is handed over before that step.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np
from jax import export

from tightfit.conversion.exporting import Probe, Specs, first_line, random_arrays
from tightfit.conversion.state_variables import StateValue
from tightfit.errors import ModelError

_REFUSED: Final = re.compile(r"(?:failed to legalize operation|error:) '([\w.]+)'")
_FILE: Final = re.compile(r"(/[^\s:'\"]+\.py):\d+")
_PLACE: Final = re.compile(r"(Failed to run converter passes: )?/[^\s:]+:\d+:\d+: error: ")


def export_function(
    function: Callable[..., Sequence[Any]],
    inputs: Specs,
    outputs: Sequence[str],
    *,
    trace_batch: bool = False,
) -> bytes:
    """Gives the ``.tflite`` of a traceable function.

    Args:
        function: takes one array for each input, in order, and gives one for each output.
        inputs: name → (shape, dtype); None as the first dimension stands for the batch.
        outputs: names, in order.
        trace_batch: leave the batch free; else the file takes one sample, and ``free_batch`` frees it.

    Raises:
        ModelError: the converter refuses an op.
    """
    traced = inputs if trace_batch else {n: (tuple(d or 1 for d in s), t) for n, (s, t) in inputs.items()}
    module = _lowered(function, traced)
    from litert_converter import converter_api_ext as api  # noqa: PLC0415 - 100 MB, when there is a module
    from litert_converter.mlir import ir, passmanager  # noqa: PLC0415 - the same

    with ir.Context() as context:
        api.prepare_mlir_context(context)
        parsed = _parsed(module, ir)
        api.set_signature(parsed.operation, "serving_default", list(inputs), list(outputs))
        try:
            api.run_convert_to_tfl_passes(parsed, passmanager.PassManager(), api.ConvertToTFLConfig())
            return bytes(api.export_flatbuffer_to_bytes(parsed.operation))
        except (RuntimeError, ValueError, ir.MLIRError) as error:
            raise ModelError(refusal(error)) from error


def refusal(error: BaseException) -> str:
    """Return what litert-converter refuses, with the ops and without the places in its own files.

    Example:
        >>> refusal(RuntimeError("/a/b.py:6:1: error: failed to legalize operation 'tfl.div'"))
        'litert-converter has no form for tfl.div (of b.py); write that part with other operations.'
    """
    text = str(error)
    ops = dict.fromkeys(_REFUSED.findall(text))
    files = dict.fromkeys(Path(name).name for name in _FILE.findall(text))
    if not ops:
        return f"litert-converter cannot express the model: {_PLACE.sub('', first_line(error))}"
    where = f" (of {', '.join(files)})" if files else ""
    return f"litert-converter has no form for {', '.join(ops)}{where}; write that part with other operations."


def _parsed(module: Any, ir: Any) -> Any:
    """The module in the converter's own MLIR: as bytecode, else as text, which is four times slower."""
    if isinstance(module, str):
        return ir.Module.parse(module)
    stream = io.BytesIO()
    module.operation.write_bytecode(stream)
    try:
        return ir.Module.parse(stream.getvalue())
    except ir.MLIRError:  # some attributes are written in another way by the two versions of StableHLO
        return ir.Module.parse(str(module))


def _lowered(function: Callable[..., Sequence[Any]], inputs: Specs) -> Any:
    """StableHLO: a module for static shapes, text for a free batch, which only ``jax.export`` traces."""
    traced = jax.jit(function, keep_unused=True)
    if all(None not in shape for shape, _ in inputs.values()):
        specs = [_spec(tuple(s), np.dtype(d)) for s, d in inputs.values()]
        return traced.lower(*specs).compiler_ir("stablehlo")
    (batch,) = export.symbolic_shape("batch")
    specs = [_spec(tuple(batch if d is None else d for d in s), np.dtype(t)) for s, t in inputs.values()]
    return str(export.export(traced, platforms=["cpu"])(*specs).mlir_module())


def _spec(shape: Any, dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call] # JAX's own


def probe_function(
    function: Callable[..., Sequence[Any]],
    inputs: Specs,
    outputs: Sequence[str],
    count: int = 2,
    state: Sequence[StateValue] = (),
) -> list[Probe]:
    """Gives what the function makes of random inputs.

    Args:
        function: see ``export_function``.
        inputs: without those of the state.
        outputs: without those of the state.
        count: number of samples, one after another.
        state: values that the function takes behind its inputs and returns behind its outputs.
    """
    probes, carried = [], [each.initial for each in state]
    for seed in range(count):
        arrays = random_arrays(inputs, seed, batch=1 if state else 1 + 2 * seed)
        results = list(function(*arrays.values(), *carried))
        results, carried = results[: len(outputs)], results[len(outputs) :]
        probes.append(Probe(arrays, {n: np.asarray(r) for n, r in zip(outputs, results, strict=True)}))
    return probes

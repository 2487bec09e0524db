"""A JAX function becomes StableHLO in a file, which ``converter_process`` turns into a ``.tflite``.

litert-converter takes StableHLO as bytecode or text, not the versioned VHLO that ``jax.export`` serializes,
so the module is handed over before that step. The two run one after the other: together they would hold the
weights seven times.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.exporting import ExportProbe, Lowered, Specs, random_arrays
from tightfit.conversion.state_variables import StateValue


def lower_function(
    function: Callable[..., Sequence[Any]],
    inputs: Specs,
    outputs: Sequence[str],
    options: ConversionOptions,
) -> Lowered:
    """Write the StableHLO of a traceable function to a temporary file.

    Args:
        function: takes one array for each input, in order, and gives one for each output.
        inputs: name → (shape, dtype); None as the first dimension stands for the batch.
        outputs: names, in order.
        options: ``trace_batch`` leaves the batch free; else the file takes one sample, and ``free_batch``
            frees it. ``as_text`` writes text, which the converter reads four times slower.
    """
    one = {n: (tuple(d or 1 for d in s), t) for n, (s, t) in inputs.items()}
    module = _lowered(function, inputs if options.trace_batch else one)
    handle, name = tempfile.mkstemp(suffix=".mlir")
    with os.fdopen(handle, "wb") as file:
        if isinstance(module, str) or options.as_text:
            file.write(str(module).encode())
        else:
            module.operation.write_bytecode(file)
    return Lowered(Path(name), list(inputs), list(outputs))


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
) -> list[ExportProbe]:
    """Return what the function makes of random inputs.

    Args:
        function: see ``lower_function``.
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
        probes.append(ExportProbe(arrays, {n: np.asarray(r) for n, r in zip(outputs, results, strict=True)}))
    return probes

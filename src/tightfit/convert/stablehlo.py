"""A JAX function becomes a ``.tflite``: StableHLO bytecode through ``litert-converter``; no TensorFlow.

Source: the passes of ``litert_converter.converter_api_ext`` 0.5. Its parser takes StableHLO as bytecode or
text, not the versioned VHLO that ``jax.export`` serializes, so the module is handed over before that step.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import export

from tightfit.convert.options import Probe
from tightfit.errors import ModelError

Shape = Sequence[int | None]


def export_function(
    function: Callable[..., Sequence[Any]], inputs: dict[str, tuple[Shape, str]], outputs: Sequence[str]
) -> bytes:
    """Gives the ``.tflite`` of a traceable function.

    Args:
        function: takes one array for each input, in order, and gives one for each output.
        inputs: name → (shape, dtype); None as the first dimension leaves the batch free.
        outputs: names, in order.

    Raises:
        ModelError: the converter refuses an op.
    """
    module = _lowered(function, inputs)
    from litert_converter import converter_api_ext as api  # noqa: PLC0415 - 100 MB, when there is a module
    from litert_converter.mlir import ir, passmanager  # noqa: PLC0415 - the same

    with ir.Context() as context:
        api.prepare_mlir_context(context)
        parsed = ir.Module.parse(module)
        api.set_signature(parsed.operation, "serving_default", list(inputs), list(outputs))
        try:
            api.run_convert_to_tfl_passes(parsed, passmanager.PassManager(), api.ConvertToTFLConfig())
            return bytes(api.export_flatbuffer_to_bytes(parsed.operation))
        except (RuntimeError, ValueError, ir.MLIRError) as error:
            raise ModelError(f"litert-converter cannot express the model: {_first_line(error)}") from error


def _lowered(
    function: Callable[..., Sequence[Any]], inputs: dict[str, tuple[Shape, str]]
) -> bytes | str:
    """StableHLO: bytecode for static shapes, text for a free batch, which only ``jax.export`` traces."""
    traced = jax.jit(function, keep_unused=True)
    if all(None not in shape for shape, _ in inputs.values()):
        specs = [jax.ShapeDtypeStruct(tuple(s), np.dtype(d)) for s, d in inputs.values()]
        stream = io.BytesIO()
        traced.lower(*specs).compiler_ir("stablehlo").operation.write_bytecode(stream)
        return stream.getvalue()
    (batch,) = export.symbolic_shape("batch")
    specs = [
        jax.ShapeDtypeStruct(tuple(batch if d is None else d for d in s), np.dtype(t))
        for s, t in inputs.values()
    ]
    return str(export.export(traced, platforms=["cpu"])(*specs).mlir_module())


def probe_function(
    function: Callable[..., Sequence[Any]],
    inputs: dict[str, tuple[Shape, str]],
    outputs: Sequence[str],
    count: int = 2,
) -> list[Probe]:
    """Gives what the function makes of random inputs."""
    probes = []
    for seed in range(count):
        arrays = random_arrays(inputs, seed)
        results = function(*arrays.values())
        probes.append(Probe(arrays, {n: np.asarray(r) for n, r in zip(outputs, results, strict=True)}))
    return probes


def random_arrays(inputs: dict[str, tuple[Shape, str]], seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Gives random inputs: reals in [-1, 1), integers 0 or 1, which are valid indices of any table."""
    generator = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, (shape, dtype) in inputs.items():
        sizes = [1 if d is None else d for d in shape]
        if np.dtype(dtype).kind == "f":
            arrays[name] = generator.uniform(-1, 1, sizes).astype(dtype)
        else:
            arrays[name] = generator.integers(0, 2, sizes).astype(dtype)
    return arrays


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "error:" in line] or lines or [type(error).__name__]
    return told[0][:300]

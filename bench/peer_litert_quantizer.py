"""Runs in the ``litert-quantizer`` environment: quantizes one model and tells what each phase took.

The request is ``{"model", "samples", "scheme", "out", "mode", "threads", "limit"}``: ``samples`` an
uncompressed ``.npz``, ``mode`` ``profiler`` (its fastest) or ``tensors`` (its default), ``threads`` null for
its default.
"""

# ruff: noqa: SLF001 -- the calibration mode is reached through a private name in this version of the peer
from __future__ import annotations

import time

started = time.perf_counter()

import contextlib  # noqa: E402 -- the clock must start before the first import
import json  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
from itertools import pairwise  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ai_edge_litert.interpreter import Interpreter  # noqa: E402, TID251 -- not part of the package
from litert_quantizer import quantizer, recipe, recipe_manager  # noqa: E402

from sample_file import Rows, map_samples  # noqa: E402


def float16_recipe() -> Any:
    """Gives the weight-only float16 recipe, for which the peer has no named one."""
    manager = recipe_manager.RecipeManager()
    manager.add_weight_only_config(
        regex=".*",
        operation_name=recipe.TFLOperationName.ALL_SUPPORTED,
        num_bits=16,
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    return manager.get_quantization_recipe()


RECIPES = {
    "int8": recipe.static_wi8_ai8,
    "int16x8": recipe.static_wi8_ai16,
    "dynamic": recipe.dynamic_wi8_afp32,
    "weight8": recipe.weight_only_wi8_afp32,
    "weight4": recipe.weight_only_wi4_afp32,
    "float16": float16_recipe,
}
MODES = {
    "profiler": quantizer._CalibrationMode.CALIBRATION_PROFILER_BASED,
    "tensors": quantizer._CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS,
}


def calibration_data(model: str, samples: str, limit: int | None) -> dict[str, Any]:
    """Gives the samples under the model's first signature, as views of the mapped file.

    They must be iterable twice: ``calibrate`` first lists them to count them, so a generator would be empty
    by the time it runs, without an error.
    """
    key, names = next(iter(Interpreter(model).get_signature_list().items()))
    return {key: Rows(map_samples(Path(samples)), names["inputs"], limit)}


def quantize(request: dict[str, Any]) -> dict[str, float]:
    """Writes the quantized model and gives the seconds of each phase."""
    clock = [time.perf_counter()]
    tool = quantizer.Quantizer(request["model"], RECIPES[request["scheme"]]())
    clock.append(time.perf_counter())
    ranges = None
    if tool.need_calibration:
        data = calibration_data(request["model"], request["samples"], request.get("limit"))
        options = {"num_threads": request["threads"]} if request.get("threads") else {}
        ranges = tool.calibrate(data, mode=MODES[request.get("mode", "profiler")], **options)
    clock.append(time.perf_counter())
    result = tool.quantize(ranges, enable_progress_report=False)
    clock.append(time.perf_counter())
    Path(request["out"]).write_bytes(result.quantized_model)
    clock.append(time.perf_counter())
    names = ("read", "calibrate", "quantize", "save")
    return {name: end - begin for name, (begin, end) in zip(names, pairwise(clock), strict=True)}


def main() -> None:
    """Answers one request."""
    imported = time.perf_counter()
    request = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        seconds = {"import": imported - started, **quantize(request)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps(
            {"seconds": seconds, "peak_memory_bytes": peak, "size_bytes": Path(request["out"]).stat().st_size}
        )
    )


if __name__ == "__main__":
    main()

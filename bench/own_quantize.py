"""Runs in our own environment, in a fresh process: quantizes one model and tells what each phase took.

The request is ``{"model", "samples", "scheme", "out", "limit"}`` as for the peers' scripts. The samples come
through the package's own data source, as for a user of the command line.
"""

from __future__ import annotations

import time

started = time.perf_counter()

import json  # noqa: E402 -- the clock must start before the first import
import sys  # noqa: E402
from collections.abc import Iterator, Mapping  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from tightfit.data.sources import InputSpec, open_data  # noqa: E402
from tightfit.pipeline.quantize_file import Source, open_source, quantize_file  # noqa: E402
from tightfit.quantization.calibration.calibrate import calibration_workers, input_names  # noqa: E402
from tightfit.runtime.child import prepare  # noqa: E402

Clock = dict[str, float]


def samples(request: dict[str, Any], source: Source, clock: Clock) -> Iterator[Mapping[str, Any]]:
    """Gives the inputs one at a time and notes when the first was asked for and when the last was used."""
    clock["first"] = time.perf_counter()
    inputs = input_names(source.model)
    specs = [InputSpec(name, tensor.shape, tensor.dtype) for name, tensor in inputs.items()]
    data = open_data(request["samples"], image=None, inputs=specs)
    limit = min(request.get("limit") or len(data), len(data))
    for sample in data.samples(range(limit)):
        yield sample.inputs
    clock["last"] = time.perf_counter()


def quantize(request: dict[str, Any]) -> Clock:
    """Writes the quantized model and gives the seconds of each phase."""
    clock: Clock = {}
    begin = time.perf_counter()
    prepare(calibration_workers())
    source = open_source(request["model"])
    quantize_file(source, request["scheme"], request["out"], samples(request, source, clock))
    end = time.perf_counter()
    first, last = clock.get("first", begin), clock.get("last", begin)
    return {"read": first - begin, "calibrate": last - first, "quantize+save+check": end - last}


def main() -> None:
    """Answers one request."""
    imported = time.perf_counter()
    request = json.load(sys.stdin)
    seconds = {"import": imported - started, **quantize(request)}
    print(json.dumps({"seconds": seconds, "size_bytes": Path(request["out"]).stat().st_size}))


if __name__ == "__main__":
    main()

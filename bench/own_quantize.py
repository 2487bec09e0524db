"""Runs in our own environment, in a fresh process: quantizes one model and tells what each phase took.

The request is ``{"model", "samples", "scheme", "out", "limit"}`` as for the peers' scripts. The samples come
through the package's own data source, as for a user of the command line.
"""

from __future__ import annotations

import time

started = time.perf_counter()

import json  # noqa: E402 -- the clock must start before the first import
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from tightfit.api.quantize import quantize  # noqa: E402

Clock = dict[str, float]


def timed(request: dict[str, Any]) -> Clock:
    """Write the quantized model as the command does, data checks included; give the seconds that it took."""
    begin = time.perf_counter()
    quantize(
        request["model"],
        request["scheme"],
        request["out"],
        data=request["samples"],
        calibration=request.get("limit") or 100,
        effort=request.get("effort", 1),
    )
    return {"quantize": time.perf_counter() - begin}


def main() -> None:
    """Answers one request."""
    imported = time.perf_counter()
    request = json.load(sys.stdin)
    seconds = {"import": imported - started, **timed(request)}
    print(json.dumps({"seconds": seconds, "size_bytes": Path(request["out"]).stat().st_size}))


if __name__ == "__main__":
    main()

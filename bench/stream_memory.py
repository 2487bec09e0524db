"""Prints the peak memory of each verb that streams, on 1,000 and on 10,000 samples of one generator function.

    python bench/stream_memory.py [--few 1000] [--many 10000] [--verbs evaluate,quantize]

The model is the demo classifier; samples follow from their number. Each run is a process of its own; memory
is what its processes hold together, read every few ms (Linux only), the most of two runs, since a child that
lives for a moment may be missed. ``quantize`` calibrates on 100 of the samples, its default, ``calibrate`` on
all of them; ``finetune`` trains one epoch on three quarters of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tightfit
from machine import describe_machine
from processes import peak_of
from tightfit.demo import MODEL

LIMIT = 1.05
RUNS = 2


def samples(count: int) -> Iterator[tuple[Any, int]]:
    """Yield images that follow from their number, with labels."""
    phase = np.arange(28 * 28, dtype=np.float32).reshape(28, 28, 1)
    for i in range(count):
        yield np.sin(phase * (1 + i % 997) / 100), i * 7 % 10


def run_quantize(count: int, folder: Path) -> None:
    """Calibrates on 100 samples."""
    tightfit.quantize(MODEL, "int8", folder / "a.tflite", data=partial(samples, count))


def run_calibrate(count: int, folder: Path) -> None:
    """Calibrates on all samples."""
    data = partial(samples, count)
    tightfit.quantize(MODEL, "int8", folder / "a.tflite", data=data, calibration=count, effort=0)


def run_optimize(count: int, folder: Path) -> None:
    """Searches one candidate."""
    tightfit.optimize(MODEL, partial(samples, count), folder / "out", only=["int8"], judge="estimate")


def run_evaluate(count: int, folder: Path) -> None:
    """Measures two models."""
    small = tightfit.quantize(MODEL, "weight8", folder / "w.tflite")
    tightfit.evaluate([MODEL, small.path], partial(samples, count))


def run_finetune(count: int, folder: Path) -> None:
    """Trains an epoch."""
    tightfit.finetune(MODEL, partial(samples, count), folder / "t.tflite", scheme="int8", epochs=1)


def run_explain(count: int, folder: Path) -> None:
    """Explains on all samples."""
    made = tightfit.quantize(
        MODEL, "int8", folder / "a.tflite", data=partial(samples, 100), effort=0, doctor=False
    )
    tightfit.explain(MODEL, made.path, partial(samples, count), evaluation=count, remedies=False)


def run_doctor(count: int, folder: Path) -> None:
    """Looks at calibration samples."""
    del folder
    tightfit.doctor(MODEL, partial(samples, count))


def run_describe_data(count: int, folder: Path) -> None:
    """Describes the data."""
    del folder
    tightfit.describe_data(partial(samples, count), MODEL)


VERBS: dict[str, Callable[[int, Path], None]] = {
    "quantize": run_quantize,
    "optimize": run_optimize,
    "evaluate": run_evaluate,
    "finetune": run_finetune,
    "explain": run_explain,
    "doctor": run_doctor,
    "describe_data": run_describe_data,
    "calibrate": run_calibrate,
}


def measured(verb: str, count: int) -> int:
    """Return the peak of a verb in bytes."""
    command = [sys.executable, __file__, "--run", verb, str(count)]
    return max(peak_of(command) for _ in range(RUNS))


def main() -> int:
    """Measure each verb twice and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--verbs", default=",".join(VERBS))
    parser.add_argument("--run", nargs=2, metavar=("VERB", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        with tempfile.TemporaryDirectory() as folder:
            VERBS[options.run[0]](int(options.run[1]), Path(folder))
        return 0
    print(describe_machine())
    worst = 0.0
    for verb in options.verbs.split(","):
        few, many = measured(verb, options.few), measured(verb, options.many)
        worst = max(worst, many / few)
        line = f"{verb:14} {few / 1e6:6.0f} MB on {options.few:,}  {many / 1e6:6.0f} MB on {options.many:,}"
        print(f"{line}  {many / few:.3f}x", flush=True)
    print(f"largest ratio {worst:.3f}, limit {LIMIT}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())

"""Prints what each recovery gains, beside litert-quantizer and TensorFlow's quantizer, on the same photos.

All sides calibrate with the same samples in the same shuffled order and are evaluated on the same others.

    bench/recovery.py --model M.tflite --data photos/ --image size=224,crop=0.875,mean=127,std=128
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import peers
from machine import describe_machine
from ptq_accuracy import open_dataset, write_calibration
from sample_file import Array, Rows, map_samples
from tightfit.data.split import split
from tightfit.evaluation.accuracy import evaluate
from tightfit.graph.signatures import input_names
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.write import write_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover
from tightfit.streaming.moments import Moments

STEPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "int8": (
        (),
        ("bias-correction",),
        ("gptq",),
        ("cross-layer-equalization", "gptq"),
        ("activation-ranges", "gptq"),
    ),
    "int16x8": ((), ("gptq",)),
    "int8x4": (
        (),
        ("bias-correction",),
        ("gptq",),
        ("gptq", "block-reconstruction"),
        ("mixed-precision", "gptq"),
        ("mixed-precision", "gptq", "block-reconstruction"),
        ("mixed-precision", "gptq", "sequential-bias-correction"),
    ),
}
PEERS = {
    "litert-quantizer": ("litert-quantizer", "peer_litert_quantizer.py", ("int8", "int16x8")),
    "tensorflow": ("tensorflow", "peer_tensorflow_quantizer.py", ("int8", "int16x8")),
}


@dataclass
class Made:
    """One file: how it was made, in how many seconds beyond calibration, on the clock and of all cores."""

    name: str
    path: Path
    seconds: float
    processor: float
    failure: str | None = None


class Clock:
    """Seconds since it was made: on the clock, and of every core, child processes included."""

    def __init__(self) -> None:
        self.begun = self._now()

    def seconds(self) -> tuple[float, float]:
        """Gives (on the clock, of all cores)."""
        clock, processor = self._now()
        return clock - self.begun[0], processor - self.begun[1]

    def _now(self) -> tuple[float, float]:
        # Children count once they ended; a process that waits for its next model counts later.
        return time.perf_counter(), sum(os.times()[:4])


def own_files(source: Source, options: argparse.Namespace, samples: Path, folder: Path) -> Iterator[Made]:
    """Makes a file for each scheme and list of steps; calibration and moments are shared, and timed once."""
    rows = Rows(map_samples(samples), list(input_names(source.model)))

    def again() -> Iterator[Mapping[str, Array]]:
        return iter(rows)

    start = time.perf_counter()
    seen = calibrate(source.model, again())
    print(f"calibration {time.perf_counter() - start:.1f} s", file=sys.stderr)
    moments: dict[str, Moments] = {}
    wanted = [(s, steps) for s in options.schemes for steps in STEPS[s]]
    for scheme, steps in wanted:
        if not set(steps) & set(options.without):
            start = Clock()
            ranges = Ranges([seen.statistics])
            plan = make_plan(source.model, scheme, ranges)
            work = RecoveryState(
                source.model, plan, ranges, again, source.path.stat().st_size, moments=moments
            )
            recover(work, steps)
            path = folder / f"own_{scheme}_{len(steps)}_{'_'.join(steps)}.tflite"
            write_plan(replace(source, model=work.model), work.plan, path, probes=seen.probes)
            name = " + ".join([scheme, *steps])
            yield Made(f"tightfit {name}", path, *start.seconds())
            print(f"{name}: {'; '.join(work.notes)}", file=sys.stderr)


def peer_files(model: Path, schemes: list[str], samples: Path, folder: Path) -> Iterator[Made]:
    """Makes the peers' files; a refusal is a row, not the end."""
    for whose, (environment, script, offered) in PEERS.items():
        for scheme in [s for s in schemes if s in offered]:
            path = folder / f"{whose}_{scheme}.tflite"
            request: dict[str, Any] = {
                "model": str(model), "samples": str(samples), "scheme": scheme, "out": str(path),
                "mode": "profiler", "threads": os.cpu_count(),
            }  # fmt: skip
            start = Clock()
            failure = None
            try:
                peers.run(environment, script, request)
            except peers.PeerError as error:
                failure = str(error)
            yield Made(f"{whose} {scheme}", path, *start.seconds(), failure)


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Makes all files, evaluates them together and prints the table."""
    data = open_dataset(options)
    calibration, evaluation = split(
        data.labels(), len(data), options.calibration, options.evaluation, seed=options.seed
    )
    samples = folder / "calibration.npz"
    write_calibration(data, np.random.default_rng(options.seed).permutation(calibration), samples)
    source = open_source(options.model)
    made = [
        *own_files(source, options, samples, folder),
        *peer_files(options.model, options.schemes, samples, folder),
    ]
    good = [m for m in made if m.failure is None]
    base, *results = evaluate([options.model, *(m.path for m in good)], data, evaluation)
    print(describe_machine())
    print(
        f"{options.model.name}: {base.metric} {base.value:.4f} on {len(evaluation)} samples; calibrated with"
    )
    print(f"{len(calibration)} others, seed {options.seed}; drop with its 95 % interval\n")
    print(
        f"{'':46} {'size':>6} {'drop':>7} {'interval':>17} {'agree':>7} {'SNR dB':>7} {'seconds':>8}"
        f" {'of cores':>8}"
    )
    for one, result in zip(good, results, strict=True):
        size = one.path.stat().st_size / options.model.stat().st_size
        interval = f"[{result.drop_low:+.3f}, {result.drop_high:+.3f}]"
        print(f"{one.name:46} {size:6.3f} {result.drop:+7.4f} {interval:>17} {result.agreement:7.4f}"
              f" {result.snr_db:7.1f} {one.seconds:8.1f} {one.processor:8.1f}")  # fmt: skip
    for one in made:
        if one.failure:
            print(f"{one.name} was not written: {one.failure}")


def main() -> None:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="float .tflite")
    parser.add_argument("--data", required=True, help="as for the tightfit command")
    parser.add_argument("--image", help="as for the tightfit command")
    parser.add_argument("--calibration", type=int, default=100)
    parser.add_argument("--evaluation", type=int, help="at most this many others evaluate")
    parser.add_argument("--without", nargs="+", default=[], help="recoveries to leave out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schemes", nargs="+", default=list(STEPS), choices=list(STEPS))
    with tempfile.TemporaryDirectory() as folder:
        measure(parser.parse_args(), Path(folder))


if __name__ == "__main__":
    main()

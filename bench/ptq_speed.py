"""Measures the time and memory that making an int8 file takes: ours beside litert-quantizer's.

Each run is a fresh Python process that imports, loads, calibrates, quantizes and saves. The two sides
alternate A B A B after one round that is not counted; the ratio is taken within each round. Both read the
same samples from one uncompressed ``.npz``. Memory is watched in runs of its own, with 100 and 1,000 samples.

    python bench/ptq_speed.py [--model M.tflite] [--samples S.npz] [--rounds 5] [--effort 1] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import peers
from machine import describe_machine
from make_models import network_file
from processes import run_timed, run_watched
from sample_file import Array, Column, write_samples
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names

FEW, MANY = 100, 1000
Request = dict[str, Any]
Run = dict[str, Any]
Both = dict[str, tuple[list[str], Request]]


def sample_file(model: Path, count: int, seed: int) -> Path:
    """Gives a file of ``count`` random samples with the shapes of the model's inputs, written once."""
    path = peers.RESULTS / f"{model.stem}_{count}_{seed}.npz"
    if not path.exists():
        peers.RESULTS.mkdir(exist_ok=True)
        inputs = input_names(read_model(model))
        columns = {
            name: Column(random_rows(tensor.shape[1:], count, seed), (count, *tensor.shape[1:]))
            for name, tensor in inputs.items()
        }
        write_samples(path, columns)
    return path


def random_rows(shape: tuple[int, ...], count: int, seed: int) -> Iterator[Array]:
    """Gives float32 rows from -1 to 1; images get patches of one colour, as photos have."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        row = rng.standard_normal(shape, dtype=np.float32) * 0.1
        if len(shape) == 3:
            coarse = rng.standard_normal((-(-shape[0] // 16), -(-shape[1] // 16), shape[2]), dtype=np.float32)
            row += 0.5 * np.kron(coarse, np.ones((16, 16, 1), np.float32))[: shape[0], : shape[1]]
        yield np.clip(row, -1.0, 1.0)


def sides(model: Path, samples: Path, out: Path, options: argparse.Namespace) -> Both:
    """Gives for each side its command and its request."""
    own: Request = {"model": str(model), "samples": str(samples), "scheme": options.scheme, "limit": FEW}
    # As many threads as there are cores; its own default is 16 whatever the machine.
    peer = {**own, "mode": options.peer_mode, "threads": options.peer_threads}
    return {
        "tightfit": (
            [sys.executable, str(peers.BENCH / "own_quantize.py")],
            {**own, "effort": options.effort, "out": str(out / "own.tflite")},
        ),
        "litert-quantizer": (
            peers.command("litert-quantizer", "peer_litert_quantizer.py"),
            {**peer, "out": str(out / "peer.tflite")},
        ),
    }


def time_rounds(both: Both, rounds: int) -> dict[str, list[Run]]:
    """Gives for each side the counted runs, after one round that is not counted."""
    runs: dict[str, list[Run]] = {name: [] for name in both}
    for turn in range(rounds + 1):
        for name, (command, request) in both.items():
            run = run_timed(command, request)
            if turn:
                runs[name].append(
                    {"total_s": run.seconds, "cpu_s": run.cpu_seconds, "phases_s": run.answer["seconds"]}
                )
    return runs


def watch_memory(both: Both) -> dict[str, dict[str, Any]]:
    """Gives for each side the peak memory with few and with many samples, and their ratio."""
    found: dict[str, dict[str, Any]] = {}
    for name, (command, request) in both.items():
        peaks = [run_watched(command, {**request, "limit": count}) for count in (FEW, MANY)]
        found[name] = {
            "resident_bytes": [peak.resident_bytes for peak in peaks],
            "anonymous_bytes": [peak.anonymous_bytes for peak in peaks],
            "resident_ratio": peaks[1].resident_bytes / peaks[0].resident_bytes,
            "anonymous_ratio": peaks[1].anonymous_bytes / peaks[0].anonymous_bytes,
        }
    return found


def summarize(runs: dict[str, list[Run]]) -> dict[str, Any]:
    """Gives the medians of whole runs and of their phases, and the ratio ours : peer's of each round."""
    totals = {name: [run["total_s"] for run in of] for name, of in runs.items()}
    ratios = [ours / theirs for ours, theirs in zip(*totals.values(), strict=True)]
    phases = {
        name: {phase: statistics.median(run["phases_s"][phase] for run in of) for phase in of[0]["phases_s"]}
        for name, of in runs.items()
    }
    medians = {name: statistics.median(values) for name, values in totals.items()}
    cpu = [[run["cpu_s"] for run in of] for of in runs.values()]
    cpu_ratio = statistics.median(ours / theirs for ours, theirs in zip(*cpu, strict=True))
    return {
        "median_s": medians,
        "phases_s": phases,
        "ratios": ratios,
        "ratio": statistics.median(ratios),
        "cpu_ratio": cpu_ratio,
    }


def print_speed(speed: dict[str, Any]) -> None:
    """Prints the time of each side, its phases, and the ratio with what it was in each round."""
    for name, seconds in speed["median_s"].items():
        phases = "  ".join(f"{phase} {value:.2f}" for phase, value in speed["phases_s"][name].items())
        print(f"{name:18} {seconds:6.2f} s   in the process: {phases}")
    each = " ".join(f"{ratio:.2f}" for ratio in speed["ratios"])
    print(f"ratio tightfit : litert-quantizer {speed['ratio']:.2f}   (rounds: {each})")
    print(f"ratio of processor time {speed['cpu_ratio']:.2f}")


def print_memory(memory: dict[str, dict[str, Any]]) -> None:
    """Prints the peaks of each side with few and with many samples."""
    print(f"\npeak memory, MB        resident {FEW} → {MANY} samples        without mapped files")
    for name, found in memory.items():
        cells = []
        for kind in ("resident", "anonymous"):
            few, many = (value / 1e6 for value in found[f"{kind}_bytes"])
            cells.append(f"{few:7.0f} → {many:7.0f} ({found[f'{kind}_ratio']:.2f}x)")
        print(f"{name:18} {cells[0]:>34} {cells[1]:>34}")


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="float .tflite; without it a MobileNetV2 is built")
    parser.add_argument("--samples", type=Path, help="uncompressed .npz with 100 samples; else random ones")
    parser.add_argument("--scheme", default="int8", choices=("int8", "int16x8"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--effort", type=int, default=1, choices=(0, 1))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer-mode", default="profiler", choices=("profiler", "tensors"))
    parser.add_argument("--peer-threads", type=int, default=os.cpu_count())
    parser.add_argument("--no-memory", action="store_true", help="skip the memory runs")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Gives everything that was measured."""
    model = options.model or network_file()
    result: dict[str, Any] = {"machine": describe_machine(), "model": model.name, "scheme": options.scheme}
    with tempfile.TemporaryDirectory() as folder:
        given = options.samples or sample_file(model, FEW, options.seed)
        few = sides(model, given, Path(folder), options)
        result["speed"] = summarize(time_rounds(few, options.rounds))
        if not options.no_memory:
            many = sides(model, sample_file(model, MANY, options.seed), Path(folder), options)
            result["memory"] = watch_memory(many)
    return result


def main() -> None:
    """Measures and prints."""
    options = parse_options()
    result = measure(options)
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(
        f"{result['machine']}\n{result['model']} → {options.scheme}, {FEW} samples, {options.rounds} rounds"
    )
    print_speed(result["speed"])
    if "memory" in result:
        print_memory(result["memory"])


if __name__ == "__main__":
    main()

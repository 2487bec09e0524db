"""Compares post-training quantization in accuracy, size and latency: ours beside litert-quantizer's.

Both sides calibrate with the same samples in the same order and are evaluated on the same others, on LiteRT.

    bench/ptq_accuracy.py --model M.tflite --data photos/ --image size=224,crop=0.875,mean=127,std=128

The calibration order is shuffled by the seed: the peer's ranges are moving averages that remember the last
samples best, so samples sorted by class would be unfair to it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import peers
from interleaved import latency_ratios
from machine import describe_machine
from sample_file import Array, Column, Rows, map_samples, write_samples
from tightfit.data.sources import Dataset, ImageOptions, InputSpec, open_data
from tightfit.data.split import split
from tightfit.errors import TightfitError
from tightfit.evaluation.accuracy import Accuracy, evaluate
from tightfit.evaluation.paired_comparison import paired_drop
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.runtime.session import Session

OWN, PEER = "tightfit", "litert-quantizer"
SCHEMES = ("float16", "weight8", "dynamic", "int8", "int16x8")
PEER_SCHEMES = (*SCHEMES, "weight4")


@dataclass
class Contender:
    """One file that was asked for; ``failure`` says why there is none."""

    scheme: str
    whose: str
    path: Path
    failure: str | None = None


def open_dataset(options: argparse.Namespace) -> Dataset:
    """Gives the data, checked against the float model's inputs."""
    image = ImageOptions.parse(options.image) if options.image else None
    with Session(options.model) as session:
        inputs = [InputSpec.of(spec) for spec in session.inputs]
    return open_data(options.data, image=image, inputs=inputs)


def write_calibration(data: Dataset, indices: Array, path: Path) -> None:
    """Writes the samples at the indices, in their order, one array an input."""

    def rows(name: str) -> Iterator[Array]:
        for index in indices:
            yield next(data.samples([int(index)])).inputs[name]

    first = next(data.samples([int(indices[0])])).inputs
    columns = {
        name: Column(rows(name), (len(indices), *array.shape[1:]), array.dtype.name)
        for name, array in first.items()
    }
    write_samples(path, columns)


def quantize_own(model: Path, contender: Contender, samples: Path) -> None:
    """Writes our file, with the package's defaults."""
    with Session(model) as session:
        names = [spec.name for spec in session.inputs]
    rows = Rows(map_samples(samples), names)
    quantize_file(model, contender.scheme, contender.path, rows)


def quantize_peer(model: Path, contender: Contender, samples: Path) -> None:
    """Writes the peer's file, with its recipe of that name."""
    request = {
        "model": str(model), "samples": str(samples), "scheme": contender.scheme, "out": str(contender.path),
        "mode": "profiler", "threads": os.cpu_count(),
    }  # fmt: skip
    peers.run(PEER, "peer_litert_quantizer.py", request)


def make_files(options: argparse.Namespace, samples: Path, folder: Path) -> list[Contender]:
    """Quantizes by every scheme on both sides; a refusal is a row of the table, not the end."""
    made = []
    for scheme in options.schemes:
        for whose, verb in ((OWN, quantize_own), (PEER, quantize_peer)):
            if scheme not in (SCHEMES if whose == OWN else PEER_SCHEMES):
                continue
            contender = Contender(scheme, whose, folder / f"{scheme}_{whose}.tflite")
            print(f"{whose} {scheme} ...", file=sys.stderr)
            try:
                verb(options.model, contender, samples)
            except (TightfitError, peers.PeerError) as error:
                contender.failure = str(error)
            made.append(contender)
    return made


def row_of(
    contender: Contender, accuracy: Accuracy, float_bytes: int, latency: float | None
) -> dict[str, Any]:
    """Gives one row of the table; fractions 0 to 1, latency as a ratio to the float model's."""
    numbers = {name: value for name, value in asdict(accuracy).items() if name != "scores"}
    return {
        "scheme": contender.scheme, "whose": contender.whose, **numbers,
        "size_ratio": contender.path.stat().st_size / float_bytes, "latency_ratio": latency,
    }  # fmt: skip


def compare_sides(rows: list[tuple[Contender, Accuracy]]) -> dict[str, dict[str, Any]]:
    """Gives for each scheme how much lower the peer's score is than ours, paired, with its interval."""
    by_key = {(c.scheme, c.whose): a for c, a in rows if a.scores is not None}
    found = {}
    for scheme in dict.fromkeys(contender.scheme for contender, _ in rows):
        ours, theirs = by_key.get((scheme, OWN)), by_key.get((scheme, PEER))
        if ours and theirs and ours.scores is not None and theirs.scores is not None:
            found[scheme] = asdict(paired_drop(ours.scores, theirs.scores))
    return found


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Gives everything that was measured."""
    data = open_dataset(options)
    calibration, evaluation = split(data.labels(), len(data), options.calibration, seed=options.seed)
    order = np.random.default_rng(options.seed).permutation(calibration)
    samples = folder / "calibration.npz"
    write_calibration(data, order, samples)
    made = make_files(options, samples, folder)
    files = [contender for contender in made if contender.failure is None]
    paths = [options.model, *(contender.path for contender in files)]
    scored = evaluate(paths, data, evaluation)
    times = (
        latency_ratios(paths, rounds=options.latency_rounds)
        if options.latency_rounds
        else [None] * len(paths)
    )
    rows = list(zip(files, scored[1:], strict=True))
    float_bytes = options.model.stat().st_size
    return {
        "machine": describe_machine(), "model": options.model.name, "seed": options.seed,
        "calibration": len(calibration), "evaluation": len(evaluation),
        "float": {name: value for name, value in asdict(scored[0]).items() if name != "scores"},
        "rows": [row_of(c, a, float_bytes, t) for (c, a), t in zip(rows, times[1:], strict=True)],
        "ours_minus_peers": compare_sides(rows),
        "refused": [{"scheme": c.scheme, "whose": c.whose, "failure": c.failure} for c in made if c.failure],
    }  # fmt: skip


def print_table(result: dict[str, Any]) -> None:
    """Prints one line a file, then the paired difference of the two sides, then what was refused."""
    print(result["machine"])
    base = result["float"]
    print(f"{result['model']}: {base['metric']} {base['value']:.4f} on {result['evaluation']} samples")
    print(f"calibrated with {result['calibration']} others, seed {result['seed']}; 95 % intervals\n")
    print(f"{'scheme':9} {'whose':17} {'size':>6} {base['metric']:>8} {'drop':>8} {'interval':>19}"
          f" {'agree':>7} {'SNR dB':>7} {'latency':>8}")  # fmt: skip
    for row in result["rows"]:
        print(f"{row['scheme']:9} {row['whose']:17} {row['size_ratio']:6.3f} " + _scores(row))
    for scheme, difference in result["ours_minus_peers"].items():
        low, high = _signed(difference["low"]), _signed(difference["high"])
        print(f"\n{scheme}: ours - peer's {_signed(difference['drop'])} [{low}, {high}]", end="")
    print()
    for refused in result["refused"]:
        print(f"{refused['whose']} {refused['scheme']} was not written: {refused['failure']}")


def _scores(row: dict[str, Any]) -> str:
    if row["failure"]:
        return f"did not run: {row['failure']}"
    interval = f"[{_signed(row['drop_low'])}, {_signed(row['drop_high'])}]"
    agreement = "-" if row["agreement"] is None else f"{row['agreement']:.4f}"
    latency = "-" if row["latency_ratio"] is None else f"{row['latency_ratio']:.2f}x"
    return (
        f"{row['value']:8.4f} {_signed(row['drop']):>8} {interval:>19} {agreement:>7}"
        f" {row['snr_db']:7.1f} {latency:>8}"
    )


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="float .tflite")
    parser.add_argument("--data", required=True, help="as for the tightfit command")
    parser.add_argument("--image", help="as for the tightfit command")
    parser.add_argument("--calibration", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schemes", type=lambda text: text.split(","), default=list(PEER_SCHEMES))
    parser.add_argument("--latency-rounds", type=int, default=5, help="0 skips the latency")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Measures and prints."""
    options = parse_options()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        print_table(result)


if __name__ == "__main__":
    main()

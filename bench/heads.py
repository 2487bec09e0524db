"""Does every slice of an unseen head keep 20 dB in its int8 file, or is it named? Per target.

    python bench/heads.py [NAME …] [--targets cpu,edge-tpu,ethos-u55-128]

Prints for each head and target the worst of its slices, measured here on samples that did not calibrate, and
what was done. Exits with 1 where a slice below 20 dB is not named.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import tightfit
from head_networks import HEADS, trunk
from tightfit.evaluation.slices.quality import lost_sentences
from tightfit.graph.split_outputs import join_values
from tightfit.runtime.session import Session

GOOD_DB = 20.0
CALIBRATION, HELD_OUT = 100, 32


def images() -> Any:
    """Blobs of colour with noise."""
    random = np.random.default_rng(3)
    coarse = random.uniform(0, 1, (CALIBRATION + HELD_OUT, 8, 8, 3))
    fine = np.kron(coarse, np.ones((1, 4, 4, 1)))
    return (fine + random.normal(0, 0.05, fine.shape)).astype(np.float32)


def answers(file: Path, samples: Any) -> Iterator[Any]:
    """The one output of a file for each sample, as reals."""
    with Session(file) as session:
        (taken,), specs = session.inputs, {s.name: s for s in session.outputs}
        for sample in samples:
            values = sample[None]
            if taken.scale is not None:
                values = np.rint(values / taken.scale) + (taken.zero_point or 0)
                values = np.clip(values, -128, 127).astype(np.int8)
            reals = {n: real(v, specs[n]) for n, v in session.run({taken.name: values}).items()}
            yield next(iter(join_values(reals).values()))


def real(values: Any, spec: Any) -> Any:
    """Reals of a stored output."""
    plain = values.astype(np.float64)
    return plain if spec.scale is None else (plain - (spec.zero_point or 0)) * spec.scale


def slice_db(wanted: Any, found: Any) -> float:
    """Spread about the mean to noise, in decibels."""
    noise = float(np.square(wanted - found).mean())
    return 10 * float(np.log10(max(float(wanted.var()), 1e-30) / max(noise, 1e-30)))


def measure(folder: Path, name: str, target: str, slices: Any) -> tuple[str, float, str]:
    """The worst slice of one file with its ratio, and what was done or is named."""
    options = {} if target == "cpu" else {"target": target}
    x = images()
    made = tightfit.quantize(
        folder / f"{name}.tflite", "int8", folder / "o.tflite", data=x[:CALIBRATION], doctor=False, **options
    )
    files = (folder / f"{name}.tflite", folder / "o.tflite")
    wanted, found = (np.stack(list(answers(file, x[CALIBRATION:]))) for file in files)
    ratios = {
        title: slice_db(*(np.take(v, range(begin, end), axis + 1) for v in (wanted, found)))
        for axis, begin, end, title in slices
    }
    worst = min(ratios, key=ratios.__getitem__)
    named = list(lost_sentences(made.outputs))
    how = next((n.partition(":")[0] for n in made.notes if "worst slice" in n), "nothing")
    return worst, ratios[worst], named[0] if named else how


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(HEADS))
    parser.add_argument("--targets", default="cpu,edge-tpu,ethos-u55-128")
    given = parser.parse_args()
    table, failed = Table("head", "target", "worst slice", "dB", "what was done", box=None), 0
    with tempfile.TemporaryDirectory() as path:
        for name in given.names:
            keras.utils.set_random_seed(11)
            start = keras.Input((32, 32, 3))
            output, slices = HEADS[name](trunk(start))
            tightfit.convert(keras.Model(start, output), Path(path) / f"{name}.tflite")
            for target in given.targets.split(","):
                worst, ratio, how = measure(Path(path), name, target, slices)
                failed += ratio < GOOD_DB and "of no use" not in how
                table.add_row(name, target, worst, f"{ratio:.1f}", how)
    Console(width=150).print(table)
    print(f"{failed} slices below {GOOD_DB:g} dB that nothing names")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

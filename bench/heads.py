"""Does every slice of an unseen head keep 20 dB in its int8 file, or is it named? Per target.

    python bench/heads.py [NAME …] [--targets cpu,edge-tpu,ethos-u55-128] [--files DIR]

Prints for each head and target the worst of its slices, measured here on samples that did not calibrate, and
what was done. Exits with 1 where a slice below 20 dB is not named. With ``--files`` the heads are those of a
folder instead: NAME.keras, NAME.npz (``x``: samples) and NAME.json with its slices,
``{"slices": [[axis, begin, end, "boxes"], …]}``; without a slice each output is one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import tightfit
from head_networks import HEADS, trunk
from head_networks_joined import JOINED
from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.graph.split_outputs import join_values
from tightfit.runtime.session import Session

NAMED = ("of no use", "is weak in", "is chosen by a comparison")
ALL = {**HEADS, **JOINED}
GOOD_DB = 20.0
CALIBRATION, HELD_OUT = 100, 32


def images() -> Any:
    """Blobs of colour with noise."""
    random = np.random.default_rng(3)
    coarse = random.uniform(0, 1, (CALIBRATION + HELD_OUT, 8, 8, 3))
    fine = np.kron(coarse, np.ones((1, 4, 4, 1)))
    return (fine + random.normal(0, 0.05, fine.shape)).astype(np.float32)


@dataclass
class Case:
    """One head: its model, samples and slices (axis, begin, end, name)."""

    name: str
    model: Any
    x: Any
    slices: list[Any]


def own_cases(names: list[str]) -> Iterator[Case]:
    """The heads of ``head_networks`` and ``head_networks_joined``."""
    for name in names:
        keras.utils.set_random_seed(11)
        start = keras.Input((32, 32, 3))
        output, slices = ALL[name](trunk(start))
        yield Case(name, keras.Model(start, output), images(), slices)


def cases_of(folder: Path) -> Iterator[Case]:
    """The heads of a folder."""
    for facts in sorted(folder.glob("*.json")):
        model = keras.saving.load_model(facts.with_suffix(".keras"))
        x = np.load(facts.with_suffix(".npz"))["x"]
        yield Case(facts.stem, model, x, json.loads(facts.read_text())["slices"])


def answers(file: Path, samples: Any) -> dict[str, Any]:
    """Each output of a file over all samples, as reals; an input in pieces is fed from the whole."""
    (whole,) = input_names(read_model(file.with_name("float.tflite")))
    found: dict[str, list[Any]] = {}
    with Session(file) as session:
        specs = {s.name: s for s in session.outputs}
        for sample in samples:
            given = adapt_inputs(Sample({whole: sample[None]}), session.inputs)
            reals = {n: real(v, specs[n]) for n, v in session.run(given).items()}
            for name, value in join_values(reals).items():
                found.setdefault(name, []).append(value)
    return {name: np.stack(rows) for name, rows in found.items()}


def real(values: Any, spec: Any) -> Any:
    """Reals of a stored output."""
    plain = values.astype(np.float64)
    return plain if spec.scale is None else (plain - (spec.zero_point or 0)) * spec.scale


def slice_db(wanted: Any, found: Any) -> float:
    """Spread about the mean to noise, in decibels."""
    noise = float(np.square(wanted - found).mean())
    return 10 * float(np.log10(max(float(wanted.var()), 1e-30) / max(noise, 1e-30)))


def ratios(case: Case, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, float]:
    """The ratio of each slice of a head with one output, or of each of several outputs."""
    if not case.slices:
        return {name: slice_db(wanted[name], found[name]) for name in wanted}
    pair = [next(iter(values.values())) for values in (wanted, found)]
    return {
        title: slice_db(*(np.take(v, range(begin, end), axis + 1 if axis >= 0 else axis) for v in pair))
        for axis, begin, end, title in case.slices
    }


def measure(folder: Path, case: Case, target: str) -> tuple[str, float, str]:
    """The worst slice of one file with its ratio, and what was done or is named."""
    options = {} if target == "cpu" else {"target": target}
    files = (folder / "float.tflite", folder / "o.tflite")
    made = tightfit.quantize(files[0], "int8", files[1], data=case.x[:CALIBRATION], doctor=False, **options)
    found = ratios(case, *(answers(file, case.x[CALIBRATION:]) for file in files))
    worst = min(found, key=found.__getitem__)
    how = next((n.partition(":")[0] for n in made.notes if "worst slice" in n), "nothing")
    named = [*made.unfit, *(n for n in made.notes if "is chosen by a comparison" in n)]
    return worst, found[worst], named[0] if named else how


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(ALL))
    parser.add_argument("--targets", default="cpu,edge-tpu,ethos-u55-128")
    parser.add_argument("--files", type=Path)
    given = parser.parse_args()
    table, failed = Table("head", "target", "worst slice", "dB", "what was done", box=None), 0
    cases = own_cases(given.names) if given.files is None else cases_of(given.files)
    with tempfile.TemporaryDirectory() as path:
        for case in cases:
            tightfit.convert(case.model, Path(path) / "float.tflite")
            for target in given.targets.split(","):
                worst, ratio, how = measure(Path(path), case, target)
                named = any(
                    words in how for words in ("of no use", "is weak in", "is chosen by a comparison")
                )
                failed += ratio < GOOD_DB and not named
                table.add_row(case.name, target, worst, f"{ratio:.1f}", how)
                print(f"{case.name} {target}: {worst} {ratio:.1f} dB", file=sys.stderr, flush=True)
    Console(width=150).print(table)
    print(f"{failed} slices below {GOOD_DB:g} dB that nothing names")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

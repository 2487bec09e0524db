"""Prints what integer schemes and recoveries make of a BERT sentence encoder, beside its float embeddings.

Builds the float ``.tflite`` from the weights of a pip package, checks it against the same mathematics in
NumPy, calibrates with prose of Python's help pages, and compares on other sentences.

    bench/transformer.py [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import minilm
import peers
from machine import describe_machine
from sample_file import Array
from sentences import PARAPHRASES, prose
from tightfit.api.parameters.model_inputs import inputs_of
from tightfit.data.sources import open_data
from tightfit.evaluation.accuracy import evaluate
from tightfit.evaluation.latency import compare_latency
from tightfit.graph.ir import Model
from tightfit.graph.ops.macs import macs
from tightfit.graph.writer import write_model
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.write import write_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import make_plan
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover
from tightfit.runtime.session import Session

LENGTH = 64
CALIBRATION, EVALUATION = 100, 60
CASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("dynamic", ()),
    ("int8", ()),
    ("int16x8", ()),
    ("int16x8", ("attention-mask-clipping",)),
    ("int8", ("attention-mask-clipping",)),
    ("int8", ("attention-mask-clipping", "smoothing")),
    ("int8", ("attention-mask-clipping", "mixed-activations")),
    ("int8", ("attention-mask-clipping", "smoothing", "mixed-activations")),
)


@dataclass
class Made:
    """One file: its name, how it was made, and the shares of the multiply–accumulates."""

    name: str
    path: Path
    seconds: float
    weights8: float
    activations: dict[str, float]
    notes: list[str]


def tokens(folder: Path) -> tuple[dict[str, Path], Path]:
    """Writes the samples by part, and gives the package's weights beside them."""
    pairs = [s for pair in PARAPHRASES for s in pair]
    sentences = [*pairs, *prose(CALIBRATION + EVALUATION)]
    request = {"sentences": sentences, "length": LENGTH, "out": str(folder / "all.npz")}
    answer = peers.run("minilm", "peer_minilm.py", request)
    stored = np.load(folder / "all.npz")
    first = len(pairs)
    parts = {
        "pairs": np.arange(first),
        "calibration": np.arange(first, first + CALIBRATION),
        "evaluation": np.r_[0:first, first + CALIBRATION : len(sentences)],
    }
    for name, chosen in parts.items():
        np.savez(folder / f"{name}.npz", ids=stored["ids"][chosen], mask=stored["mask"][chosen])
    return {name: folder / f"{name}.npz" for name in parts}, Path(answer["weights"])


def samples_of(path: Path) -> list[Mapping[str, Array]]:
    """The samples of a file, one sentence each."""
    stored = np.load(path)
    ids, mask = stored["ids"], stored["mask"]
    return [{"ids": ids[i : i + 1], "mask": mask[i : i + 1]} for i in range(len(ids))]


def check_float(model: Path, pairs: Path, weights: Mapping[str, minilm.Floats]) -> None:
    """Prints how near the file is to its weights' mathematics, and what it makes of paraphrases."""
    with Session(model) as session:
        found = np.concatenate([r["embedding"] for r in session.run_many(samples_of(pairs))])
    stored = np.load(pairs)
    few = slice(0, 8)
    wanted = minilm.embed(weights, stored["ids"][few], stored["mask"][few])
    cosines = found @ found.T
    same = cosines[np.arange(0, len(found), 2), np.arange(1, len(found), 2)]
    other = cosines[np.triu_indices(len(found), 2)]
    print(f"float file against NumPy: largest difference {np.abs(found[few] - wanted).max():.1e}")
    print(f"cosine of paraphrases {same.mean():.2f} ({same.min():.2f} to {same.max():.2f}),", end=" ")
    print(f"of unrelated sentences {other.mean():.2f}\n")


def own_files(source: Source, samples: Path, folder: Path) -> Iterator[Made]:
    """Makes a file for each scheme and list of recoveries."""
    rows = samples_of(samples)

    def again() -> Iterator[Mapping[str, Array]]:
        return iter(rows)

    seen = calibrate(source.model, again())
    for i, (scheme, steps) in enumerate(CASES):
        start = time.perf_counter()
        ranges = Ranges([seen.statistics])
        plan = make_plan(source.model, scheme, ranges)
        work = recover(RecoveryState(source.model, plan, ranges, again, source.path.stat().st_size), steps)
        path = folder / f"{i}_{scheme}.tflite"
        written = write_plan(replace(source, model=work.model), work.plan, path, probes=seen.probes)
        seconds = time.perf_counter() - start
        weights8, activations = shares(work.model, work.plan)
        notes = [*work.notes, *written.notes]
        yield Made(" + ".join([scheme, *steps]), path, seconds, weights8, activations, notes)


def shares(model: Model, plan: Plan) -> tuple[float, dict[str, float]]:
    """The share of MACs whose weights are stored as int8 (of those that have weights), and by activation."""
    stored = total = weighted = 0
    kinds: dict[str, int] = {}
    for op, decision in zip(model.main.ops, plan.graphs[0].ops, strict=True):
        count = macs(op)
        total += count
        kind = decision.dtype or "float"
        kinds[kind] = kinds.get(kind, 0) + count
        weights = op.input(1)
        if count and weights is not None and weights.is_constant:
            weighted += count
            stored += count * (1 in decision.constants and decision.constants[1].dtype == "int8")
    return stored / max(total, 1), {k: n / max(total, 1) for k, n in kinds.items() if n}


def measure(folder: Path) -> None:
    """Makes all files, evaluates them together and prints the table."""
    parts, packaged = tokens(folder)
    weights = minilm.read_safetensors(packaged)
    path = folder / "minilm.tflite"
    write_model(minilm.build(weights, LENGTH), path)
    print(describe_machine())
    check_float(path, parts["pairs"], weights)
    source = open_source(path)
    made = list(own_files(source, parts["calibration"], folder))
    data = open_data(str(parts["evaluation"]), image=None, inputs=inputs_of(source.model, path))
    _, *results = evaluate([path, *(m.path for m in made)], data, metric="cosine")
    paths = [path, *(m.path for m in made)]
    times = compare_latency(paths, threads=1, rounds=10, budget_s=60)[1:]
    print(
        f"calibrated with {CALIBRATION} sentences, compared on {EVALUATION + 2 * len(PARAPHRASES)} others\n"
    )
    head = f"{'':44} {'size':>5} {'cosine':>7} {'SNR dB':>7} {'time':>5} {'int8 w':>7}"
    print(f"{head}  MACs by activation  seconds")
    for one, result, timed in zip(made, results, times, strict=True):
        size = one.path.stat().st_size / path.stat().st_size
        ratio = "-" if timed.ratio is None else f"{timed.ratio:.2f}"
        by = ", ".join(f"{k} {v:.0%}" for k, v in one.activations.items())
        print(f"{one.name:44} {size:5.2f} {result.value:7.4f} {result.snr_db:7.1f} {ratio:>5}"
              f" {one.weights8:7.1%}  {by}  {one.seconds:.0f}")  # fmt: skip
    for one, timed in zip(made, times, strict=True):
        for note in [*one.notes, *([timed.reason] if timed.reason else [])]:
            print(f"{one.name}: {note}")


def main() -> None:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, help="folder to leave the files in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        measure(folder)


if __name__ == "__main__":
    main()

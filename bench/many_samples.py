"""Evaluates very many synthetic samples in one process and in four shards, and prints memory and equality.

    bench/many_samples.py --samples 1000000 --keep parts/
    bench/many_samples.py --samples 20000 --demo

The model is a layer of 16 × 10 weights; ``--demo`` evaluates the demo's network beside its 8-bit weights
instead. Each evaluation runs in a process of its own. Samples follow from their number, so that nothing is
stored. The memory of an eighth of the samples stands beside that of all: flat memory grows by eight bytes a
sample, a metric and a model, for the scores that intervals are made of. With ``--keep`` the same command goes
on after the last evaluation that ended.
"""

from __future__ import annotations

import argparse
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe_machine
from tightfit.data.dataset import Dataset
from tightfit.data.sample import DataRecord, InputSpec
from tightfit.demo import MODEL
from tightfit.distributed.sharded_accuracy import shard_bounds
from tightfit.evaluation.accuracy import PROBES, evaluate, understand
from tightfit.evaluation.metrics.spelling import parse_metrics
from tightfit.evaluation.scoring import score_shard
from tightfit.files import atomic_file
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.runtime.session import Session

METRIC = "top1,cosine"
SHARDS = 4


class Synthetic:
    """Images that follow from their numbers, with labels."""

    kind = name = "synthetic"
    notes: Sequence[str] = ()
    has_labels = True

    def __init__(self, samples: int, shape: Sequence[int]) -> None:
        self.samples, self.shape = samples, tuple(shape)
        self.phase = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(self.shape)

    def named_labels(self) -> dict[str, Any]:
        """Return nothing: labels have no names."""
        return {}

    def count(self) -> int:
        """Return the number of samples."""
        return self.samples

    def labels(self) -> Any:
        """Return a class for each sample."""
        return np.arange(self.samples) * 7 % 10

    def fingerprint(self) -> str:
        """Return a name."""
        return f"synthetic {self.samples}"

    def read(self, indices: Sequence[int] | None) -> Iterator[DataRecord]:
        """Yield samples."""
        for i in range(self.samples) if indices is None else indices:
            yield DataRecord(i, f"sample {i}", {"x": np.sin(self.phase * (1 + i % 9973))}, i * 7 % 10)


def layer(path: Path) -> Path:
    """Write one fully connected layer and return its path."""
    graph, weights = Graph(), np.random.default_rng(0).standard_normal((10, 16)).astype(np.float32)
    graph.inputs, graph.outputs = [Tensor("x", (1, 16))], [Tensor("y", (1, 10))]
    constant = Tensor("w", weights.shape, "float32", weights)
    graph.append(Op("FULLY_CONNECTED", [*graph.inputs, constant], graph.outputs, {}, "FullyConnectedOptions"))
    write_model(Model([graph]), path)
    return path


def opened(samples: int, model: Path) -> Dataset:
    """Return the samples for a model."""
    with Session(model) as session:
        spec = InputSpec.of(session.inputs[0])
    return Dataset(Synthetic(samples, spec.sample_shape), [spec])


def part(job: dict[str, Any]) -> Any:
    """Return what one process finds: all accuracies, or the scores of a shard."""
    models = job["models"]
    dataset = opened(job["samples"], models[0])
    if job["bounds"] is None:
        return evaluate(models, dataset, metric=METRIC)
    tasks = understand(models[0], dataset, None, parse_metrics(METRIC), PROBES)
    first, end = job["bounds"]
    scored = score_shard(models, dataset, range(first, end), tasks, first=first)
    return scored, (*dataset.notes, *tasks.reading.notes)


def apart(folder: Path, **job: Any) -> tuple[Any, float, float]:
    """Return what a process of its own finds, its peak memory in MB, and its seconds."""
    name = f"{job['samples']}-{job['bounds']}".replace(" ", "")
    asked, found = folder / f"{name}.asked", folder / f"{name}.found"
    if not found.exists():
        asked.write_bytes(pickle.dumps(job))
        subprocess.run([sys.executable, __file__, "--job", str(asked), str(found)], check=True)
    value, peak, seconds = pickle.loads(found.read_bytes())  # noqa: S301 - our own process has written it
    return value, peak, seconds


def run_job(asked: Path, found: Path) -> None:
    """Do the work of one process."""
    start = time.monotonic()
    value = part(pickle.loads(asked.read_bytes()))  # noqa: S301 - our own process has written it
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with atomic_file(found) as file:
        file.write(pickle.dumps((value, peak, time.monotonic() - start)))


def main() -> None:
    """Evaluate in one process and in shards, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--demo", action="store_true", help="the demo's network and its 8-bit weights")
    parser.add_argument("--keep", type=Path, help="folder for what each evaluation found")
    parser.add_argument("--job", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job is not None:
        run_job(*options.job)
        return
    print(describe_machine(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        models = [layer(folder / "layer.tflite")]
        if options.demo:
            models = [MODEL, folder / "weight8.tflite"]
            quantize_file(MODEL, "weight8", models[1])
        equal = compared(folder, models, options.samples)
    raise SystemExit(not equal)


def compared(folder: Path, models: Sequence[Path], count: int) -> bool:
    """Evaluate in one process and in shards; return whether the results are equal."""
    _, few, _ = apart(folder, samples=max(1, count // 8), models=models, bounds=None)
    alone, peak, seconds = apart(folder, samples=count, models=models, bounds=None)
    print(
        f"one process: {count:,} samples in {seconds:.0f} s, {peak:.0f} MB ({few:.0f} MB for an eighth)",
        flush=True,
    )
    merged, notes = None, ()
    for bounds in shard_bounds(count, SHARDS):
        (scored, notes), peak, seconds = apart(folder, samples=count, models=models, bounds=bounds)
        print(f"shard {bounds[0]:,} to {bounds[1]:,}: {seconds:.0f} s, {peak:.0f} MB", flush=True)
        if merged is None:
            merged = scored
        else:
            merged.merge(scored)
    assert merged is not None  # noqa: S101 - there is a shard
    equal = [a.to_dict() for a in alone] == [a.to_dict() for a in merged.accuracies(notes)]
    print(f"equal to one process, to the last bit: {equal}")
    return equal


if __name__ == "__main__":
    main()

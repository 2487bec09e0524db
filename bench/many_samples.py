"""Evaluates very many synthetic samples in one process and in four shards, and prints memory and equality.

    bench/many_samples.py --samples 1000000

Each evaluation runs in a process of its own. Samples follow from their number, so that nothing is stored. The
memory of an eighth of the samples stands beside that of all: flat memory grows by eight bytes a sample, a
metric and a model, for the scores that intervals are made of.
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

from tightfit.data.dataset import Dataset
from tightfit.data.sample import DataRecord, InputSpec
from tightfit.demo import MODEL
from tightfit.distributed.sharded_accuracy import shard_bounds
from tightfit.evaluation.accuracy import PROBES, evaluate, understand
from tightfit.evaluation.metrics.spelling import parse_metrics
from tightfit.evaluation.scoring import score_shard
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


def opened(samples: int) -> Dataset:
    """Return the samples for the demo model."""
    with Session(MODEL) as session:
        spec = InputSpec.of(session.inputs[0])
    return Dataset(Synthetic(samples, spec.sample_shape), [spec])


def part(job: dict[str, Any]) -> Any:
    """Return what one process finds: all accuracies, or the scores of a shard."""
    dataset, models = opened(job["samples"]), job["models"]
    if job["bounds"] is None:
        return evaluate(models, dataset, metric=METRIC)
    tasks = understand(models[0], dataset, None, parse_metrics(METRIC), PROBES)
    first, end = job["bounds"]
    scored = score_shard(models, dataset, range(first, end), tasks, first=first)
    return scored, (*dataset.notes, *tasks.reading.notes)


def apart(**job: Any) -> tuple[Any, float, float]:
    """Return what a process of its own finds, its peak memory in MB, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        asked, found = Path(folder) / "asked", Path(folder) / "found"
        asked.write_bytes(pickle.dumps(job))
        start = time.monotonic()
        subprocess.run([sys.executable, __file__, "--job", str(asked), str(found)], check=True)
        value, peak = pickle.loads(found.read_bytes())  # noqa: S301 - our own process has written it
        return value, peak, time.monotonic() - start


def run_job(asked: Path, found: Path) -> None:
    """Do the work of one process."""
    value = part(pickle.loads(asked.read_bytes()))  # noqa: S301 - our own process has written it
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found.write_bytes(pickle.dumps((value, peak)))


def main() -> None:
    """Evaluate in one process and in shards, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--job", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job is not None:
        run_job(*options.job)
        return
    count = options.samples
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "weight8.tflite"
        quantize_file(MODEL, "weight8", small)
        models = [MODEL, small]
        _, few, _ = apart(samples=max(1, count // 8), models=models, bounds=None)
        alone, peak, seconds = apart(samples=count, models=models, bounds=None)
        print(
            f"one process: {count:,} samples in {seconds:.0f} s, {peak:.0f} MB ({few:.0f} MB for an eighth)"
        )
        merged, notes = None, ()
        for bounds in shard_bounds(count, SHARDS):
            (scored, notes), peak, seconds = apart(samples=count, models=models, bounds=bounds)
            print(f"shard {bounds[0]:,} to {bounds[1]:,}: {seconds:.0f} s, {peak:.0f} MB", flush=True)
            if merged is None:
                merged = scored
            else:
                merged.merge(scored)
        assert merged is not None  # noqa: S101 - there is a shard
        equal = [a.to_dict() for a in alone] == [a.to_dict() for a in merged.accuracies(notes)]
        print(f"equal to one process, to the last bit: {equal}")
    raise SystemExit(not equal)


if __name__ == "__main__":
    main()

"""Prints the loss curve of a quantization-aware training in one process and shared by workers of Ray Train.

    bench/training_workers.py --workers 1 --workers 2

The demo model, int8, the same seed and batch; then the largest relative difference of the losses from those
of one process, in the first epoch and in all of them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

from machine import describe_machine
from tightfit.api.finetune import finetune
from tightfit.demo import MODEL
from tightfit.distributed.options import RayCluster


def curve(workers: int | None, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of a training's history; None trains in this process."""
    cluster = None if workers is None else RayCluster("ray", workers=workers)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = finetune(
            MODEL, "tightfit.demo:evaluation", Path(folder) / "trained.tflite", scheme="int8",
            epochs=options.epochs, train=options.samples, cluster=cluster,
        )  # fmt: skip
    name = "one process" if workers is None else f"{workers} workers"
    losses = " ".join(f"{row['loss']:.6f}/{row['val_loss']:.6f}" for row in found.history)
    print(
        f"{name:<12} loss/validation {losses}  top-1 {found.accuracy.value:.3f}, "
        f"{time.monotonic() - start:.0f} s",
        flush=True,
    )
    return found.history


def difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the larger relative difference of the two losses of an epoch."""
    return max(abs(other[name] / one[name] - 1) for name in ("loss", "val_loss"))


def main() -> None:
    """Train in each way and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--samples", type=int, default=256)
    options = parser.parse_args()
    print(describe_machine(), flush=True)
    alone = curve(None, options)
    for workers in options.workers or [1, 2]:
        apart = [difference(*pair) for pair in zip(alone, curve(workers, options), strict=True)]
        print(f"{workers} workers from one process: first epoch {apart[0]:.1e}, all {max(apart):.1e}")


if __name__ == "__main__":
    main()

"""Prints what channel pruning at half of the MACs costs in accuracy and gains in latency.

    bench/channels.py photos --model M.tflite --data photos/ --image size=224,crop=0.875,mean=127,std=128
    bench/channels.py demo --data fashion_mnist.npz

``photos``: half of them choose, fit and distil, their labels unread; the other half measure. ``demo``: the
embedded demo, trained with its labels afterwards. Files stay in ``--folder``, and a file that is there is not
made again; ``--latency`` measures those that are there and does nothing else (run it on a quiet machine).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from machine import describe_machine
from sample_file import Array
from tightfit.compression.channels.channel_pruning import ChannelBudget, ChannelOptions, prune_channels
from tightfit.evaluation.accuracy import evaluate
from tightfit.evaluation.latency import compare_latency
from tightfit.graph.ops.macs import macs
from tightfit.graph.reader import read_model
from tightfit.pipeline.source import open_source
from tightfit.pipeline.write import write_float
from tightfit.training.loop.finetuning import FinetuneSpec
from training_cases import Case, demo_case, photo_case, train_file

CHOOSING = 1000
"""Training samples that choose and fit at most."""

WAYS: dict[str, ChannelOptions] = {
    "magnitude": ChannelOptions("magnitude", refit=False),
    "reconstruction": ChannelOptions("reconstruction"),
    "taylor": ChannelOptions("taylor"),
}
"""Plain magnitude pruning looks at no sample; the others fit what is left."""


def prune(case: Case, way: str, budget: ChannelBudget, path: Path) -> None:
    """Makes one file, unless it is there."""
    if path.exists():
        return
    begin = time.perf_counter()
    kept = [s.inputs for s in case.training.samples(sorted(case.indices[:CHOOSING].tolist()))]

    def samples() -> Iterator[Mapping[str, Array]]:
        return iter(kept)

    options = WAYS[way]
    done = prune_channels(case.source.model, budget, options, samples if options.refit else None)
    write_float(done.model, case.source, path, reference=case.source.model, notes=done.notes)
    print(f"{path.stem}: {time.perf_counter() - begin:.0f} s, {len(kept) if options.refit else 0} samples")
    print(
        "  kept " + ", ".join(f"{g.kept}/{g.channels}" for g in done.groups if g.frozen is None), flush=True
    )


def request_of(options: argparse.Namespace) -> FinetuneSpec:
    """The training after pruning."""
    teacher = options.model
    if options.case == "demo":
        return FinetuneSpec(
            epochs=options.epochs or 12, batch=64, learning_rate=2e-3, augment=("flip",),
            seed=options.seed, teacher=teacher,
        )  # fmt: skip
    return FinetuneSpec(
        epochs=options.epochs or 12, batch=16, learning_rate=1e-3, labels="no", features=("residual",),
        augment=("flip", "zoom", "mix"), seed=options.seed, teacher=teacher,
    )  # fmt: skip


def train(case: Case, request: FinetuneSpec, start: Path, path: Path) -> None:
    """Trains a pruned file with the original as its teacher, unless the result is there."""
    if path.exists():
        return
    begin = time.perf_counter()
    train_file(replace(case, name=f"{case.name}_{start.stem}", source=open_source(start)), request, path, [])
    print(f"{path.stem}: {request.epochs} epochs of {len(case.indices)} samples, "
          f"{time.perf_counter() - begin:.0f} s", flush=True)  # fmt: skip


def print_latency(original: Path, folder: Path) -> None:
    """The latency of each file beside the original, and the share of what the MACs promise."""
    files = sorted(folder.glob("*.tflite"))
    found = compare_latency([original, *files], rounds=60, budget_s=100.0)
    whole = total_macs(original)
    print(describe_machine())
    print(f"{'':30} {'MACs':>7} {'median ms':>10} {'ratio':>7} {'95 % interval':>16} {'of the MACs':>12}")
    for path, t in zip([original, *files], found, strict=True):
        share = total_macs(path) / whole
        if t.ratio is None or t.median_ms is None:
            print(f"{path.stem:30} {t.reason}")
            continue
        interval = f"[{t.ratio_low:.3f}, {t.ratio_high:.3f}]"
        gain = f"{(1 - t.ratio) / (1 - share):12.2f}" if share < 1 else ""
        print(f"{path.stem:30} {share:7.3f} {t.median_ms:10.2f} {t.ratio:7.3f} {interval:>16} {gain}")


def total_macs(path: Path) -> int:
    """The multiply–accumulates of a file."""
    return sum(macs(op) for op in read_model(path).main.ops)


def print_accuracy(case: Case, original: Path, folder: Path) -> None:
    """Accuracy and agreement with the original of each file."""
    files = [original, *sorted(folder.glob("*.tflite"))]
    whole, size = total_macs(original), original.stat().st_size
    results = evaluate(files, case.evaluation, case.measured)
    print(describe_machine())
    print(f"{case.name}: {len(case.measured)} samples measure, none of them was used before\n")
    print(f"{'':30} {'MACs':>7} {'bytes':>7} {'accuracy':>9} {'drop':>8} {'95 %':>18} {'agreement':>10}")
    for path, result in zip(files, results, strict=True):
        interval = "" if path == original else f"[{result.drop_low:+.4f}, {result.drop_high:+.4f}]"
        print(f"{path.stem:30} {total_macs(path) / whole:7.3f} {path.stat().st_size / size:7.3f} "
              f"{result.value:9.4f} {result.drop:+8.4f} {interval:>18} {result.agreement:10.4f}")  # fmt: skip


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Makes the files and measures them."""
    folder.mkdir(parents=True, exist_ok=True)
    if options.latency:
        print_latency(options.model, folder)
        return
    with tempfile.TemporaryDirectory() as aside:
        if options.case == "demo":
            case = demo_case(options.data, Path(aside), options.seed)
        else:
            case = photo_case(options.model, str(options.data), options.image, options.seed, options.training)
        budget = ChannelBudget(macs=options.macs)
        for way in options.ways:
            prune(case, way, budget, folder / f"{way}.tflite")
        if "reconstruction" in options.ways and options.epochs != 0:
            train(
                case,
                request_of(options),
                folder / "reconstruction.tflite",
                folder / "reconstruction_trained.tflite",
            )
        print_accuracy(case, options.model, folder)


def main() -> None:
    """Runs one case."""
    from tightfit.demo import MODEL  # noqa: PLC0415 - the default of one option

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=("demo", "photos"))
    parser.add_argument("--data", type=Path, required=True, help="npz of Fashion-MNIST; folder of photos")
    parser.add_argument("--model", type=Path, default=MODEL, help="float .tflite, for photos")
    parser.add_argument("--image", help="as for the tightfit command")
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--training", type=int, default=250, help="photos that choose, fit and distil")
    parser.add_argument("--epochs", type=int, help="of the training afterwards; 0 leaves it out")
    parser.add_argument("--ways", nargs="+", default=["magnitude", "reconstruction"], choices=list(WAYS))
    parser.add_argument("--latency", action="store_true", help="only measure the files of the folder")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    measure(options, options.folder)


if __name__ == "__main__":
    main()

"""Prints what quantization-aware training wins back of what post-training quantization loses.

Two cases, each with 4-bit weights and int8 activations; the demo with one scale a tensor:

    bench/qat.py demo --data fashion_mnist.npz
    bench/qat.py photos --model M.tflite --data photos/ --image size=224,crop=0.875,mean=127,std=128

``demo`` trains with labels and the float model as teacher; ``photos`` has the teacher only: half of the
photos train, their labels unread, the other half measure. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np

from machine import describe_machine
from tightfit.evaluation.accuracy import Accuracy, evaluate
from tightfit.evaluation.paired_comparison import paired_drop
from tightfit.pipeline.write import write_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import INT8X4, Scheme
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover
from tightfit.training.loop.finetuning import FinetuneSpec
from training_cases import Case, demo_case, photo_case, probes_of, train_file

COARSE = replace(INT8X4, least_narrow=0, one_scale=("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))
"""4-bit weights in small layers too, and one scale a tensor, as targets without scales a channel take it."""


def request_of(options: argparse.Namespace) -> FinetuneSpec:
    """The training of a case."""
    if options.case == "demo":
        return FinetuneSpec(
            scheme=COARSE, epochs=options.epochs or 3, batch=64, learning_rate=options.rate,
            augment=("flip", "shift"), seed=options.seed,
        )  # fmt: skip
    return FinetuneSpec(
        scheme=INT8X4, epochs=options.epochs or 12, batch=16, learning_rate=options.rate or 1e-3, labels="no",
        features=("residual",), augment=("flip", "zoom", "mix"), seed=options.seed,
    )  # fmt: skip


def untrained_files(case: Case, scheme: Scheme, folder: Path) -> dict[str, Path]:
    """Post-training quantization as it is, and after rounding with data."""
    seen = calibrate(case.source.model, case.calibration())
    ranges = Ranges([seen.statistics])
    plan = make_plan(case.source.model, scheme, ranges)
    plain, rounded = folder / "ptq.tflite", folder / "rounding.tflite"
    write_plan(case.source, plan, plain, probes=seen.probes)
    size = case.source.path.stat().st_size
    work = recover(RecoveryState(case.source.model, plan, ranges, case.calibration, size), ["gptq"])
    write_plan(replace(case.source, model=work.model), work.plan, rounded, probes=seen.probes)
    return {"post-training": plain, "post-training + rounding": rounded}


def share_won_back(results: list[Accuracy]) -> tuple[float, float, float, float]:
    """Gives what PTQ lost, the share that the last file won back, and its bootstrap interval.

    Samples are drawn anew, all files on the same ones.
    """
    whole, ptq, qat = (np.asarray(results[i].scores, np.float64) for i in (0, 1, -1))
    lost, won = whole - ptq, qat - ptq
    random = np.random.default_rng(0)
    draws = [random.integers(0, len(whole), len(whole)) for _ in range(2000)]
    shares = [won[d].sum() / max(lost[d].sum(), 1e-9) for d in draws]
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(lost.mean()), float(won.mean() / lost.mean()), float(low), float(high)


def print_table(names: list[str], paths: list[Path], results: list[Accuracy]) -> None:
    """One row a file, then what was won back."""
    print(f"{'':26} {'bytes':>9} {'accuracy':>9} {'drop':>8} {'95 % interval':>18} {'agreement':>10}")
    for name, path, result in zip(names, paths, results, strict=True):
        drop = paired_drop(results[0].scores, result.scores)
        interval = f"[{drop.low:+.4f}, {drop.high:+.4f}]"
        print(
            f"{name:26} {path.stat().st_size:9} {result.value:9.4f} {drop.drop:+8.4f} {interval:>18}"
            f" {result.agreement:10.4f}"
        )


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Makes the files, evaluates them on the same samples and prints the table."""
    if options.case == "demo":
        case = demo_case(options.data, folder, options.seed)
        case.indices = case.indices[: options.training or 20000]
    else:
        case = photo_case(
            options.model, str(options.data), options.image, options.seed, options.training or 250
        )
    request = request_of(options)
    assert request.scheme is not None  # noqa: S101 - both cases have one
    files = {"float": case.source.path, **untrained_files(case, request.scheme, folder)}
    begin = time.perf_counter()
    path = folder / "qat.tflite"
    trained = train_file(case, request, path, probes_of(case))
    seconds = time.perf_counter() - begin
    files["trained (QAT)"] = path
    paths = list(files.values())
    measured = case.measured[:: max(1, len(case.measured) // options.images)]
    results = {m: evaluate(paths, case.evaluation, measured, metric=m) for m in ("top1", "agreement")}
    print(describe_machine())
    print(
        f"{case.name}: {request.scheme.name}, {len(case.indices)} samples train for {request.epochs} epochs "
        f"({seconds:.0f} s), {len(measured)} others measure\n"
    )
    print_table(list(files), paths, results["top1"])
    for metric, found in results.items():
        lost, share, low, high = share_won_back(found)
        print(f"{metric}: PTQ lost {lost:.4f}; QAT won back {share:.1%} of it, 95 % [{low:.1%}, {high:.1%}]")
    for note in trained.notes:
        print(note)


def main() -> None:
    """Runs one case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=("demo", "photos"))
    parser.add_argument("--data", type=Path, required=True, help="npz of Fashion-MNIST; folder of photos")
    parser.add_argument("--model", type=Path, help="float .tflite, for photos")
    parser.add_argument("--image", help="as for the tightfit command, for photos")
    parser.add_argument("--training", type=int, help="samples that train: 20000 and 250")
    parser.add_argument("--images", type=int, default=10000, help="samples that measure at most")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--rate", type=float, help="learning rate")
    parser.add_argument("--seed", type=int, default=0)
    with tempfile.TemporaryDirectory() as folder:
        measure(parser.parse_args(), Path(folder))


if __name__ == "__main__":
    main()

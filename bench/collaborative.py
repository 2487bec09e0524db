"""Trains every combination of pruning, clustering and quantization for the demo, beside TFMOT's.

    bench/collaborative.py --data fashion_mnist.npz --peer

Each combination has the same epochs over the same images. The table is printed and written to
``bench/results/collaborative.json``. With ``--peer`` TFMOT trains QAT, PQAT, CQAT and PCQAT of the same
network from the same weights (``peer_tfmot.py``); its numbers are measured by the same code.

Files of the same settings that lie in ``bench/results`` are not trained again: a run that was stopped goes
on, and ``--train own`` and ``--train peer`` may run side by side before the run that measures.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np

import peers
from combinations import Combination, combinations, combinations_text, write_combinations
from machine import describe_machine
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.quantization.scheme import INT8
from tightfit.training.loop.finetuning import FinetuneSpec
from training_cases import Case, demo_case, probes_of, train_file

ROOT = Path(__file__).resolve().parents[1]
PEER = "tfmot"
SETTINGS = ("samples", "epochs", "batch", "sparsity", "clusters", "seed")
COMBINATIONS = ("prune", "cluster", "prune + cluster", "QAT", "PQAT", "PCQAT", "CQAT")
WITH_PEER = ("QAT", "PQAT", "PCQAT", "CQAT")


def requests(options: argparse.Namespace) -> dict[str, FinetuneSpec]:
    """Name → what is asked for; the same epochs for all."""
    plain = FinetuneSpec(epochs=options.epochs, batch=options.batch, seed=options.seed)
    sparse, shared = {"sparsity": options.sparsity}, {"clusters": options.clusters}
    rounded = {"scheme": INT8}
    parts: dict[str, dict[str, Any]] = {
        "prune": sparse,
        "cluster": shared,
        "prune + cluster": sparse | shared,
        "QAT": rounded,
        "PQAT": sparse | rounded,
        "PCQAT": sparse | shared | rounded,
        "CQAT": shared | rounded,
    }
    return {name: replace(plain, **asked) for name, asked in parts.items() if name in options.only}


def own_files(case: Case, options: argparse.Namespace, kept: Path) -> dict[str, Path]:
    """The float model, post-training int8, and every trained combination."""
    files = {"float": case.source.path, "int8 (PTQ)": kept / "ptq.tflite"}
    quantize_file(case.source, INT8, files["int8 (PTQ)"], case.calibration())
    probes = probes_of(case)
    for name, request in requests(options).items():
        files[name] = kept / f"{name.replace(' + ', '_')}.tflite"
        if not files[name].exists():
            train_file(case, request, files[name], probes)
    return files


def peer_files(case: Case, options: argparse.Namespace, data: Path, kept: Path) -> dict[str, Path]:
    """TFMOT's files; a failure is told and leaves its row out."""
    weights = kept / "weights.npz"
    network = keras.saving.load_model(ROOT / "examples" / "demo.keras")
    np.savez(weights, **{f"w{i}": a for i, a in enumerate(network.get_weights())})
    files = {}
    for mode in [mode for mode in WITH_PEER if mode in options.only]:
        path = files[f"{PEER} {mode}"] = kept / f"tfmot_{mode}.tflite"
        if path.exists():
            continue
        request = {
            "mode": mode, "weights": str(weights), "data": str(data), "out": str(path),
            "indices": [int(i) for i in case.indices], "epochs": options.epochs, "batch": options.batch,
            "rate": options.peer_rate * requests(options)[mode].rate, "seed": options.seed,
            "sparsity": options.sparsity, "clusters": options.clusters,
        }  # fmt: skip
        print(f"{PEER} {mode} ...", file=sys.stderr)
        try:
            peers.run(PEER, "peer_tfmot.py", request)
        except peers.PeerError as error:
            print(f"{PEER} {mode} was not written: {error}", file=sys.stderr)
            del files[f"{PEER} {mode}"]
    return files


def verdicts(rows: list[Combination]) -> list[str]:
    """One line a combination: ours against the peer's, in accuracy and zip size."""
    by_name = {row.name: row for row in rows}
    lines = []
    for mode in WITH_PEER:
        own, other = by_name.get(mode), by_name.get(f"{PEER} {mode}")
        if own is None or other is None or own.accuracy is None or other.accuracy is None:
            continue
        lines.append(
            f"{mode}: accuracy {own.accuracy - other.accuracy:+.4f} against {PEER}, zip size "
            f"{own.zip_bytes / other.zip_bytes:.3f} of it"
        )
    return lines


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Trains, measures, prints, writes the JSON."""
    case = demo_case(options.data, folder, options.seed)
    case.indices = case.indices[: options.samples]
    asked = {key: getattr(options, key) for key in SETTINGS}
    kept = peers.RESULTS / "_".join(["combinations", *(f"{value:g}" for value in asked.values())])
    kept.mkdir(parents=True, exist_ok=True)
    files = own_files(case, options, kept) if options.train != "peer" else {}
    if options.peer or options.train == "peer":
        files |= peer_files(case, options, folder / "fashion.npz", kept)
    if options.train:
        return
    measured = case.measured[:: max(1, len(case.measured) // options.images)]
    rows = combinations(files, case.evaluation, measured)
    output = peers.RESULTS / "collaborative.json"
    write_combinations(rows, output, {"training": asked})
    print(describe_machine())
    print(
        f"{len(case.indices)} images for {options.epochs} epochs, {len(measured)} test images; sparsity "
        f"{options.sparsity:g}, {options.clusters} clusters; zip of the float file: {rows[0].zip_bytes}\n"
    )
    print(combinations_text(rows))
    print("\n".join(["", *verdicts(rows)]))


def main() -> None:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="npz of Fashion-MNIST")
    parser.add_argument("--samples", type=int, default=20000, help="images that train")
    parser.add_argument("--epochs", type=int, default=4, help="of all stages together")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=10000, help="test images that measure")
    parser.add_argument("--peer-rate", type=float, default=0.05, help="TFMOT's Adam: times our rate")
    parser.add_argument("--sparsity", type=float, default=0.85, help="depthwise convolutions stay dense")
    parser.add_argument("--clusters", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=COMBINATIONS, choices=COMBINATIONS)
    parser.add_argument("--peer", action="store_true", help="train TFMOT's too")
    parser.add_argument("--train", choices=("own", "peer"), help="train these only, measure nothing")
    with tempfile.TemporaryDirectory() as folder:
        measure(parser.parse_args(), Path(folder))


if __name__ == "__main__":
    main()

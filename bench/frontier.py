"""Prints what plain ``quantize`` loses on trained networks that int8 hurts, and what it costs.

Each row is a file that the command line made as a user runs it, with the wall and processor time of its whole
process, compared with the float model on samples that it was not made with. Models and data lie in a folder
that is no part of the project; a row without them is left out.

    bench/frontier.py [--shared ../shared] [--rows detector photos retrieval] [--schemes int8 int16x8]
        [--options "--effort 0"] [--peer]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import peers
from machine import describe_machine
from ptq_accuracy import write_calibration
from retrieval_task import write_task
from tightfit.api.parameters.model_inputs import inputs_of
from tightfit.data.sources import Dataset, ImageOptions, open_data
from tightfit.data.split import split
from tightfit.evaluation.accuracy import evaluate
from tightfit.evaluation.latency import compare_latency
from tightfit.pipeline.source import open_source

CALIBRATION = 100
ANCHORS = "12:18:37:49:52:132:115:73:119:199:242:238"


@dataclass(frozen=True)
class Row:
    """One network with its data and its metric.

    Args:
        model: in the folder ``models``. data: in ``data``; split where ``evaluation`` names no other folder.
        image: preprocessing of images. metric: as ``evaluate --metric`` spells it.
    """

    model: str
    data: str
    image: str | None
    metric: str
    evaluation: str | None = None


PHOTOS, CENTRED = "imagenet500", "size=224,crop=0.875,mean=127.5,std=127.5"
ROWS = {
    "detector": Row(
        "yolo_fastest_xl.tflite",
        "coco320/calibration",
        "size=320,crop=1,mean=0,std=255",
        f"map50(decoder=yolov3,size=320,anchors={ANCHORS})",
        "coco320/evaluation",
    ),
    "photos": Row("mobilenet_v1_075_224.tflite", PHOTOS, CENTRED, "top1"),
    "efficientnet": Row("efficientnet_lite0.tflite", PHOTOS, "size=224,crop=0.875,mean=127,std=128", "top1"),
    "retrieval": Row("sentences.tflite", "sentences", None, "retrieval"),
}


@dataclass(frozen=True)
class Task:
    """A model with the samples that make files of it, and others that measure them."""

    model: Path
    calibration: Path
    evaluation: Dataset
    indices: Sequence[int]
    metric: str


def task_of(row: Row, shared: Path, folder: Path) -> Task:
    """Return a row's model and data; the calibration samples become one ``.npz``, for both sides."""
    if row.metric == "retrieval":
        model, calibration, evaluation = write_task(shared / "data" / "mlqa_en_dev.json", folder)
        data = open_data(evaluation, inputs=inputs_of(open_source(model).model, model))
        return Task(model, calibration, data, range(len(data)), row.metric)
    model = shared / "models" / row.model
    image = None if row.image is None else ImageOptions.parse(row.image)
    inputs = inputs_of(open_source(model).model, model)
    data = open_data(shared / "data" / row.data, image=image, inputs=inputs)
    chosen, rest = split(data.labels(), len(data), min(CALIBRATION, len(data)), overlap=bool(row.evaluation))
    calibration = folder / f"{model.stem}.npz"
    write_calibration(data, np.random.default_rng(0).permutation(chosen), calibration)
    if row.evaluation is not None:
        data = open_data(shared / "data" / row.evaluation, image=image, inputs=inputs)
        rest = np.arange(len(data))
    return Task(model, calibration, data, [int(i) for i in rest], row.metric)


def make_own(task: Task, scheme: str, options: Sequence[str], output: Path) -> list[str]:
    """Write our file by the command line; return its notes."""
    command = [sys.executable, "-m", "tightfit", "quantize", str(task.model), scheme, "-o", str(output)]
    done = subprocess.run(
        [*command, "--data", str(task.calibration), *options], capture_output=True, text=True, check=False
    )
    if not output.exists():  # a file with a poor slice is written, and the exit code is 1
        raise SystemExit(f"quantize failed: {done.stderr[-400:]}")
    return [line for line in done.stdout.splitlines() if line.startswith("note: automatic")]


def make_peer(task: Task, scheme: str, output: Path) -> list[str]:
    """Write litert-quantizer's file, in its fastest mode."""
    request = {
        "model": str(task.model), "samples": str(task.calibration), "scheme": scheme, "out": str(output),
        "mode": "profiler", "threads": os.cpu_count(),
    }  # fmt: skip
    peers.run("litert-quantizer", "peer_litert_quantizer.py", request)
    return []


def measure(row: Row, options: argparse.Namespace, folder: Path) -> None:
    """Make the files of one network and print their rows."""
    task = task_of(row, options.shared, folder)
    made: list[tuple[str, Path, float, float]] = []
    for scheme in options.schemes:
        plain = [] if options.options else [("tightfit --effort 0", ["--effort", "0"])]
        for name, extra in [("tightfit", options.options.split()), *plain]:
            path = folder / f"{len(made)}.tflite"
            seconds, processor = time.perf_counter(), _processor()
            notes = make_own(task, scheme, extra, path)
            made.append((f"{name} {scheme}", path, time.perf_counter() - seconds, _processor() - processor))
            print(*notes, sep="\n", file=sys.stderr)
        if options.peer:
            path = folder / f"{len(made)}.tflite"
            seconds, processor = time.perf_counter(), _processor()
            try:
                make_peer(task, scheme, path)
            except peers.PeerError as error:
                print(f"litert-quantizer {scheme}: {error}", file=sys.stderr)
                continue
            spent = time.perf_counter() - seconds, _processor() - processor
            made.append((f"litert-quantizer {scheme}", path, *spent))
    files = [task.model, *(path for _, path, _, _ in made)]
    base, *found = evaluate(files, task.evaluation, task.indices, metric=task.metric)
    latencies = compare_latency(files, rounds=options.rounds)[1:]
    print(f"\n{task.model.name}: {base.metric} {base.value:.4f} on {len(task.indices)} samples")
    for (name, path, wall, processor), one, latency in zip(made, found, latencies, strict=True):
        size, changed = path.stat().st_size / task.model.stat().st_size, one.value - base.value
        ratio = float("nan") if latency.ratio is None else latency.ratio
        print(
            f"  {name:32} {size:6.3f}x {changed:+8.4f} agree {one.agreement or 0:6.4f}"
            f" cosine {one.cosine or 0:7.5f} {one.snr_db:5.1f} dB, latency {ratio:5.2f}x,"
            f" {wall:5.1f} s ({processor:5.1f} s of cores)"
        )


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Runs the rows that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--schemes", nargs="+", default=["int8"])
    parser.add_argument("--options", default="", help="further options of quantize")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of latency")
    parser.add_argument("--peer", action="store_true", help="litert-quantizer beside it")
    options = parser.parse_args()
    print(describe_machine())
    for name in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            try:
                measure(ROWS[name], options, Path(folder))
            except FileNotFoundError as error:
                print(f"{name} was left out: {error}")


if __name__ == "__main__":
    main()

"""The two cases that the training benchmarks use: the embedded demo, and photos without labels."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import peers
from sample_file import Array
from tightfit.data.sources import Dataset, ImageOptions, InputSpec, open_data
from tightfit.demo import MODEL as DEMO
from tightfit.graph.writer import write_model
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.training_start import training_start
from tightfit.pipeline.write import write_plan
from tightfit.quantization.calibration.calibrate import Probe, calibrate
from tightfit.runtime.session import Session
from tightfit.training.loop.finetuning import FinetuneSpec, finetune
from tightfit.training.loop.training_data import Trained, TrainingData

_TOLD_EVERY_S = 20.0


@dataclass
class Case:
    """A model, what trains it and what measures it.

    Args:
        source: the float model. training, indices: its data and the samples of it that train.
        evaluation, measured: the data and the samples of it that measure; none of them trains.
    """

    name: str
    source: Source
    training: Dataset
    indices: Array
    evaluation: Dataset
    measured: Array

    def calibration(self, count: int = 100) -> Iterator[Mapping[str, Array]]:
        """Inputs of the first training samples."""
        return (s.inputs for s in self.training.samples(self.indices[:count]))


def inputs_of(model: Path) -> list[InputSpec]:
    """What a model takes."""
    with Session(model) as session:
        return [InputSpec.of(spec) for spec in session.inputs]


def scaled_fashion(data: Path, folder: Path) -> Path:
    """Writes Fashion-MNIST as the demo takes it, float32 (n, 28, 28, 1) in [0, 1], and gives the file."""
    path = folder / "fashion.npz"
    with np.load(data) as raw:
        images = {n: raw[n][..., None].astype(np.float32) / np.float32(255) for n in ("x_train", "x_test")}
        np.savez(path, **images, **{n: raw[n].astype(np.int64) for n in ("y_train", "y_test")})
    return path


def demo_case(data: Path, folder: Path, seed: int, model: Path = DEMO) -> Case:
    """The demo on Fashion-MNIST: all 60,000 training images, measured on all 10,000 test images."""
    path = scaled_fashion(data, folder)
    specs = inputs_of(model)
    training = open_data(f"{path}:x_train,y_train", inputs=specs)
    evaluation = open_data(f"{path}:x_test,y_test", inputs=specs)
    order = np.random.default_rng(seed).permutation(len(training))
    return Case("demo", open_source(model), training, order, evaluation, np.arange(len(evaluation)))


def photo_case(model: Path, data: str, image: str | None, seed: int, training: int) -> Case:
    """A model on photos: some train it without their labels, all others measure it."""
    options = ImageOptions.parse(image) if image else None
    dataset = open_data(data, image=options, inputs=inputs_of(model))
    order = np.random.default_rng(seed).permutation(len(dataset))
    return Case(model.stem, open_source(model), dataset, order[:training], dataset, order[training:])


def probes_of(case: Case) -> list[Probe]:
    """What a written file is checked with."""
    return list(calibrate(case.source.model, case.calibration(4)).probes)


def train_file(case: Case, request: FinetuneSpec, path: Path, probes: list[Probe]) -> Trained:
    """Trains, writes the file; goes on from the checkpoint of a run that was stopped."""
    peers.RESULTS.mkdir(exist_ok=True)
    checkpoint = peers.RESULTS / f"{case.name}_{path.stem}.checkpoint.npz"
    material = TrainingData(case.training, case.indices, case.source.model, training_start)
    trained = finetune(case.source.model, material, request, checkpoint, Teller(f"{case.name} {path.stem}"))
    write_trained(case, trained, path, probes)
    checkpoint.unlink(missing_ok=True)
    return trained


def write_trained(case: Case, trained: Trained, path: Path, probes: list[Probe]) -> None:
    """Writes what was trained: by its plan, or in float."""
    if trained.plan is None:
        write_model(trained.model, path)
    else:
        write_plan(replace(case.source, model=trained.model), trained.plan, path, probes=probes)


class Teller:
    """Says on stderr how far a training is, every 20 seconds."""

    def __init__(self, name: str) -> None:
        self.name, self.told = name, time.monotonic()

    def __call__(self, stage: str, step: int, steps: int, metrics: dict[str, Any]) -> None:
        """Hears of one step."""
        if time.monotonic() - self.told < _TOLD_EVERY_S and step < steps:
            return
        self.told = time.monotonic()
        numbers = ", ".join(f"{n} {v:.4f}" for n, v in metrics.items())
        print(f"{self.name} {stage}: step {step} of {steps}, {numbers}", file=sys.stderr, flush=True)

"""The samples of the guide's rows: one file calibrates every tool, others measure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

import peers
from guide_sources import LENGTH, AbsentError
from sample_file import Array, Column, write_samples
from tightfit.data.dataset import Dataset
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sources import InputSpec, open_data
from tightfit.data.split import split
from tightfit.runtime.session import Session

CIFAR_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
CIFAR_DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True)
class Samples:
    """What calibrates and what measures.

    Args:
        calibration: an uncompressed ``.npz``, one array an input.
        evaluation: an ``.npz``, a folder: anything that ``tightfit.evaluate`` takes.
        image: preprocessing of ``evaluation`` where it is a folder of images.
        indices: the samples of ``evaluation`` that measure, or None for all.
    """

    calibration: Path
    evaluation: Path
    image: str | None = None
    indices: Array | None = None


def samples_of(row: Mapping[str, Any], model: Path, shared: Path, folder: Path, count: int) -> Samples:
    """Return the samples of a row, at most ``count`` of which calibrate.

    Raises:
        AbsentError: the data is not in the folder of --shared.
    """
    kind, _, place = row["data"].partition(":")
    if kind != "noise" and not (shared / place).exists():
        raise AbsentError(f"{place} is not in the folder of --shared")
    makers = {
        "photos": _photos,
        "folders": _folders,
        "cifar": _cifar,
        "questions": _questions,
        "noise": _noise,
    }
    return makers[kind](_Place(model, shared / place, folder, row.get("image"), count))


@dataclass(frozen=True)
class _Place:
    model: Path
    data: Path
    folder: Path
    image: str | None
    count: int

    def open(self, data: Path) -> Dataset:
        """The data, checked against the model's inputs."""
        with Session(self.model) as session:
            inputs = [InputSpec.of(spec) for spec in session.inputs]
        return open_data(str(data), image=ImageOptions.parse(self.image or ""), inputs=inputs)

    def store(self, data: Dataset, indices: Array) -> Path:
        """Writes the samples at the indices, in their order."""

        def rows(name: str) -> Iterator[Array]:
            for index in indices:
                yield next(data.samples([int(index)])).inputs[name]

        first = next(data.samples([int(indices[0])])).inputs
        path = self.folder / "calibration.npz"
        shapes = {name: (len(indices), *a.shape[1:]) for name, a in first.items()}
        write_samples(
            path, {name: Column(rows(name), shapes[name], a.dtype.name) for name, a in first.items()}
        )
        return path


def _photos(place: _Place) -> Samples:
    """Photos of one folder, split by class."""
    data = place.open(place.data)
    calibration, evaluation = split(data.labels(), len(data), place.count, seed=0)
    order = np.random.default_rng(0).permutation(calibration)
    return Samples(place.store(data, order), place.data, place.image, np.asarray(evaluation))


def _folders(place: _Place) -> Samples:
    """Two folders of photos with labelled boxes."""
    data = place.open(place.data / "calibration")
    indices = np.arange(min(place.count, len(data)))
    return Samples(place.store(data, indices), place.data / "evaluation", place.image)


def _cifar(place: _Place) -> Samples:
    """Arrays of bytes, scaled as ImageNet's."""
    stored = np.load(place.data)
    paths = {part: place.folder / f"{part}.npz" for part in ("calibration", "evaluation")}
    images = {n: (stored[n] / np.float32(255) - CIFAR_MEAN) / CIFAR_DEVIATION for n in ("x_cal", "x_test")}
    np.savez(paths["calibration"], x=images["x_cal"][: place.count])
    np.savez(paths["evaluation"], x=images["x_test"], y=stored["y_test"])
    return Samples(paths["calibration"], paths["evaluation"])


QUESTIONS: Final = 250


def _questions(place: _Place) -> Samples:
    """Questions, then the paragraphs that answer them; the label is the paragraph's number.

    Titles that are not asked about calibrate.
    """
    entries = json.loads(place.data.read_text())["data"]
    asked, told, labels, rest = [], dict[str, int](), [], []
    for paragraph in (p for entry in entries for p in entry["paragraphs"]):
        if len(asked) >= QUESTIONS:
            rest += [paragraph["context"], paragraph["qas"][0]["question"]]
            continue
        for question in paragraph["qas"][:1]:
            asked.append(question["question"])
            labels.append(told.setdefault(paragraph["context"], len(told)))
    sentences = [*asked, *told, *rest[: place.count]]
    everything = place.folder / "tokens.npz"
    peers.run("minilm", "peer_minilm.py", {"sentences": sentences, "length": LENGTH, "out": str(everything)})
    stored, first = np.load(everything), len(asked) + len(told)
    paths = {part: place.folder / f"{part}.npz" for part in ("calibration", "evaluation")}
    np.savez(paths["calibration"], **{n: stored[n][first:] for n in ("ids", "mask")})
    measured = {n: stored[n][:first] for n in ("ids", "mask")}
    np.savez(paths["evaluation"], y=np.array([*labels, *(-1 - i for i in range(len(told)))]), **measured)
    return Samples(paths["calibration"], paths["evaluation"])


def found(outputs: Array, labels: list[Any]) -> float:
    """Return the share of questions whose nearest paragraph answers them; paragraphs have labels below 0."""
    numbers = np.array([int(label) for label in labels])
    vectors = np.asarray(outputs).reshape(len(numbers), -1)
    asked, told = numbers >= 0, numbers < 0
    nearest = np.argmax(vectors[asked] @ vectors[told].T, axis=1)
    return float(np.mean(nearest == numbers[asked]))


found.whole = True  # type: ignore[attr-defined]


def _noise(place: _Place) -> Samples:
    """Seeded noise where there is no data: what is measured is agreement with the float model."""
    with Session(place.model) as session:
        shapes = {spec.name: tuple(spec.shape[1:]) for spec in session.inputs}
    random = np.random.default_rng(0)
    paths = {}
    for part, count in (("calibration", place.count), ("evaluation", 200)):
        paths[part] = place.folder / f"{part}.npz"
        np.savez(
            paths[part], **{n: random.normal(size=(count, *s)).astype(np.float32) for n, s in shapes.items()}
        )
    return Samples(paths["calibration"], paths["evaluation"])

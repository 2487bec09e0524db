"""The samples of a search: which calibrate, which evaluate, and their description in a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tightfit.data.dataset import Dataset
from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_part, refuse_unused
from tightfit.data.split import Indices, split
from tightfit.errors import DataError
from tightfit.graph.signatures import input_names, output_names
from tightfit.pipeline.source import Source
from tightfit.search.job import Job
from tightfit.types import Array


@dataclass(frozen=True)
class SearchSamples:
    """Two lists of samples, never the same ones of one data set.

    Args:
        dataset: those that evaluate. calibration_set, calibrating: those that calibrate.
        evaluating: see ``dataset``.
        notes: where fewer calibrate than were asked for, and why.
        facts: what ``provenance`` returns, where another machine has read the data for it.
    """

    dataset: Dataset
    evaluating: Indices
    calibration_set: Dataset
    calibrating: Indices
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] | None = None

    def calibration(self) -> Iterator[Mapping[str, Array]]:
        """The inputs that calibrate, read anew at each call."""
        return (s.inputs for s in self.calibration_set.samples(self.calibrating))

    def describe(self, job: Job) -> dict[str, Any]:
        """Facts for a report."""
        described = dict(self.dataset.describe())
        described["calibration_samples"] = len(self.calibrating)
        described["evaluation_samples"] = len(self.evaluating)
        described["seed"] = job.seed
        if job.image is not None:
            described["image"] = ", ".join(f"{k} {v}" for k, v in asdict(job.image).items())
        described["fingerprint"] = self.dataset.fingerprint()
        return described

    def provenance(self, job: Job) -> dict[str, Any]:
        """Facts for a file: what calibrated it."""
        if self.facts is not None:
            return self.facts
        facts = self.describe(job)
        data = {k: facts[k] for k in ("name", "count", "calibration_samples", "seed")}
        if self.calibration_set is not self.dataset:
            data |= {k: self.calibration_set.describe()[k] for k in ("name", "count")}
        return data | {"fingerprint": self.calibration_set.fingerprint()}


def open_samples(job: Job, source: Source) -> SearchSamples:
    """Opens the data of a job for a model.

    Raises:
        DataError: there are too few samples, or they do not fit the model.
    """
    dataset, calibration_set = open_sets(job, source)
    calibrating, evaluating = _split(dataset, calibration_set, job)
    notes = _fewer(len(calibrating), job.calibration, apart=calibration_set is not dataset)
    return SearchSamples(dataset, evaluating, calibration_set, calibrating, notes)


def open_sets(job: Job, source: Source) -> tuple[Dataset, Dataset]:
    """Return the data that evaluates and the data that calibrates; the same one where one was given.

    Raises:
        DataError: one of them does not fit the model.
    """
    named = input_names(source.model)
    specs = [InputSpec(n, t.shape_signature or t.shape, t.dtype) for n, t in named.items()]
    outputs = list(output_names(source.model))
    dataset = calibrating = open_part(job.data, image=job.image, inputs=specs, outputs=outputs)
    if job.calibration_data is not None:
        calibrating = open_part(job.calibration_data, image=job.image, inputs=specs)
    refuse_unused(job.image, [dataset, calibrating])
    return dataset, calibrating


def _fewer(used: int, asked: int, *, apart: bool) -> tuple[str, ...]:
    if used >= asked:
        return ()
    why = "there are no more" if apart else "two thirds of the data evaluate"
    return (f"{used:,} samples calibrate, not {asked:,}: {why}; --calibration-data gives more.",)


def _split(dataset: Dataset, calibration_set: Dataset, job: Job) -> tuple[Indices, Indices]:
    """Which samples calibrate and which evaluate."""
    count, labels = len(dataset), dataset.classes()
    if calibration_set is not dataset:
        theirs = calibration_set.classes()
        chosen = min(job.calibration, len(calibration_set))
        calibrating, _ = split(theirs, len(calibration_set), chosen, seed=job.seed, overlap=True)
        _, evaluating = split(labels, count, 0, job.evaluation, seed=job.seed, overlap=True)
        return calibrating, evaluating
    if count < 2:
        raise DataError(
            f"The data has {count} sample; optimize needs some to calibrate with and others to evaluate. "
            "Give at least 20, better 200."
        )
    # Of few samples, most are worth more for judging than for calibrating.
    calibration = min(job.calibration, max(1, count // 3))
    return split(labels, count, calibration, job.evaluation, seed=job.seed)

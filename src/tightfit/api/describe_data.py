"""What was understood of data: samples, ranges, labels, and the metric that follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.api.parameters.arguments import Image, image_options
from tightfit.api.parameters.model_inputs import inputs_of, outputs_of
from tightfit.api.progress.tracking import ProgressLike, Tracker, tracked
from tightfit.conversion.open_model import open_model
from tightfit.data.dataset import Dataset
from tightfit.data.sample import Sample, shape_text
from tightfit.data.sources import check_data, open_data
from tightfit.evaluation.accuracy import Asked, understand, wanted_metrics
from tightfit.files import atomic_file
from tightfit.graph.reader import read_model
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.report.page.sample_sheet import sample_sheet
from tightfit.result import Result, Row
from tightfit.spoken import verb

SHOWN: Final = 24
"""Samples on the sheet."""
_LISTED: Final = 20


@dataclass(frozen=True)
class InputRange:
    """What the samples hold for one input of the model.

    Args:
        name: of the input.
        shape: of one sample.
        dtype: that the model takes.
        low: over the samples that were read.
        high: see ``low``.
        mean: see ``low``.
        std: see ``low``.
    """

    name: str
    shape: str
    dtype: str
    low: float
    high: float
    mean: float
    std: float


@dataclass(frozen=True)
class LabelMeaning:
    """What the labels of one output mean.

    Args:
        output: its name, "" for several.
        kind: see docs/metrics.md.
        key: the labels' name, "" without one.
    """

    output: str
    kind: str
    key: str


@dataclass(frozen=True, repr=False)
class DataDescription(Result):
    """What was understood of data for a model.

    Args:
        kind: of the data, such as ``images``.
        name: without its folder.
        count: of samples.
        read: how many were looked at.
        inputs: one row for each input of the model.
        labels: one row for each labelled output; empty without labels.
        classes: class → samples, the most frequent first; empty where labels are no classes.
        metrics: what ``--metric auto`` measures.
        fingerprint: SHA-256 of the data.
        path: the sheet of samples; None where none was asked for.
        notes: what of the data is not used, and why.
    """

    kind: str
    name: str
    count: int
    read: int
    inputs: list[InputRange]
    labels: list[LabelMeaning]
    classes: dict[str, int]
    metrics: list[str]
    fingerprint: str
    path: Path | None = None
    notes: list[str] = field(default_factory=list)

    def headline(self) -> str:
        """Return the count and the meaning of the labels."""
        meant = ", ".join(sorted({label.kind for label in self.labels})) or "no labels"
        return f"DataDescription('{self.name}', {self.count:,} samples, {meant})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the inputs."""
        rows = [(i.name, i.shape, i.dtype, i.low, i.high, i.mean, i.std) for i in self.inputs]
        return ("input", "shape", "type", "least", "greatest", "mean", "deviation"), rows


@verb()
def describe_data(  # noqa: PLR0913 - the options of one command
    data: DataLike,
    model: ModelLike,
    output: Pathlike | None = None,
    *,
    image: Image = None,
    metric: Asked = "auto",
    limit: int = 1000,
    progress: ProgressLike = None,
) -> DataDescription:
    """Return what was understood of data for a model; ``tightfit data`` prints it.

    Args:
        data: samples, as all functions take them.
        model: whose inputs the data must fit; it runs on four samples to find what labels mean.
        output: a PNG with the first samples as they reach the model.
        image: how image files become arrays.
        metric: as in ``evaluate``.
        limit: most samples that are read for ranges.
        progress: see ``tightfit.Progress``.

    Returns:
        count, ranges, labels and the metric that follows from them.

    Raises:
        DataError: the data cannot be read, or does not fit the model's inputs or outputs.

    Example:
        ``tightfit.describe_data("samples.npz", "model.tflite")``
    """
    check_paths({"model": model, "data": data}, {"The sheet": output})
    check_data(data)
    wanted_metrics(metric)
    path = open_model(model)
    read = read_model(path)
    dataset = open_data(
        data, image=image_options(image), inputs=inputs_of(read, path), outputs=outputs_of(read)
    )
    tasks = understand(path, dataset, None, metric)
    with tracked(progress) as tracker:
        ranges, first, seen = _look(dataset, limit, tracker)
    if output is not None:
        with atomic_file(Path(output)) as file:
            file.write(sample_sheet(first))
    known = dataset.describe()
    labels = dataset.classes()
    return DataDescription(
        known["kind"],
        known["name"],
        known["count"],
        seen,
        ranges,
        [LabelMeaning(h.output, h.kind, h.key) for h in tasks.reading.heads],
        _counts(labels) if labels is not None and labels.dtype.kind == "i" else {},
        [task.name for task in tasks.tasks],
        dataset.fingerprint(),
        None if output is None else Path(output),
        [*dataset.notes, *tasks.reading.notes],
    )


class _Moments:
    """Extremes, sum and sum of squares of one input."""

    def __init__(self) -> None:
        self.low, self.high, self.count, self.sum, self.squares = np.inf, -np.inf, 0, 0.0, 0.0

    def add(self, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
        """Take in one sample."""
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.count += values.size
        self.sum += float(values.sum())
        self.squares += float(np.square(values).sum())

    def spread(self) -> tuple[float, float, float, float]:
        """Return the least, the greatest, the mean and the standard deviation."""
        mean = self.sum / max(self.count, 1)
        return (
            self.low,
            self.high,
            mean,
            float(np.sqrt(max(self.squares / max(self.count, 1) - mean**2, 0.0))),
        )


def _look(dataset: Dataset, limit: int, tracker: Tracker) -> tuple[list[InputRange], list[Sample], int]:
    """Return the range of each input, the first samples, and how many were read."""
    moments = {spec.name: _Moments() for spec in dataset.inputs}
    first: list[Sample] = []
    count = min(limit, len(dataset))
    tracker.stage("reading samples", count)
    for done, sample in enumerate(dataset.samples(range(count)), 1):
        for name, array in sample.inputs.items():
            if array.size:
                moments[name].add(np.asarray(array, np.float64))
        if len(first) < SHOWN:
            first.append(sample)
        tracker.advance(done, count)
    ranges = [
        InputRange(s.name, shape_text(s.sample_shape), s.dtype, *moments[s.name].spread())
        for s in dataset.inputs
    ]
    return ranges, first, count


def _counts(labels: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> dict[str, int]:
    """Return class → samples, the most frequent first."""
    return {str(k): n for k, n in Counter(labels.tolist()).most_common(_LISTED)}

"""Data of which some samples shape a file and the others measure it, by the machinery of ``evaluate``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tightfit.api.parameters.model_inputs import inputs_of, outputs_of
from tightfit.data.dataset import Dataset
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.errors import DataError
from tightfit.evaluation.accuracy import Accuracy, evaluate, understand
from tightfit.pipeline.source import Source
from tightfit.streaming.slice_axes import Slices
from tightfit.types import Array, Steps


@dataclass(frozen=True)
class DividedData:
    """The samples that shape a file, and those that measure it.

    Args:
        dataset: all samples.
        shaping: indices of those that shape the file.
        measuring: indices of the others; of all where none are left.
        metric: see ``evaluate``.
    """

    dataset: Dataset
    shaping: Array
    measuring: Array
    metric: str = "auto"

    @property
    def count(self) -> int:
        """How many samples shape the file."""
        return len(self.shaping)

    def inputs(self) -> Iterator[Mapping[str, Array]]:
        """The inputs that shape the file, read anew at each call."""
        return (s.inputs for s in self.dataset.samples(self.shaping))

    def compare(
        self, original: Path, file: Path, progress: Steps | None = None, slices: Slices | None = None
    ) -> tuple[Accuracy, Accuracy]:
        """Return the accuracy of the model and of the file, by labels or by how close they answer.

        Args:
            original: the model's file.
            file: the file that was made from it.
            progress: called with (samples done, samples in all).
            slices: of the outputs, see ``evaluation.slices.trace``.

        Raises:
            DataError: the labels do not fit the model's outputs.
        """
        before, after = evaluate(
            [original, file],
            self.dataset,
            self.measuring,
            metric=self.metric,
            progress=progress,
            slices=slices,
        )
        return before, after


def divide_data(
    source: Source, data: Any, image: ImageOptions | None, division: tuple[int, int], metric: str = "auto"
) -> DividedData:
    """Return the data with some samples that shape a file and the rest that measure it.

    Args:
        source: the model.
        data: with labels or without.
        image: how images become arrays.
        division: how many samples shape, and the seed that chooses them.
        metric: what the others measure, see ``evaluate``.

    Raises:
        DataError: there is one sample only, or the data, the labels or the metric do not fit the model.
    """
    count, seed = division
    inputs, outputs = inputs_of(source.model, source.path), outputs_of(source.model)
    dataset = open_data(data, image=image, inputs=inputs, outputs=outputs)
    total = len(dataset)
    if total < 2:
        raise DataError(
            f"The data has {total} sample; the statistics of a layer need many. Give at least 20, better 100."
        )
    shaping = np.arange(total)
    if count < total:
        shaping, _ = split(dataset.classes(), total, count, seed=seed, overlap=True)
    rest = np.setdiff1d(np.arange(total), shaping)
    measuring = rest if len(rest) else shaping
    understand(source.path, dataset, measuring, metric)
    return DividedData(dataset, shaping, measuring, metric)

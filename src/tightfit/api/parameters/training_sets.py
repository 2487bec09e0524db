"""The data of a training: samples that train, that choose the epoch, that measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.api.parameters.finetune_options import FinetuneOptions
from tightfit.api.parameters.model_inputs import inputs_of, outputs_of
from tightfit.data.dataset import Dataset
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sources import open_data
from tightfit.data.split import hold_out
from tightfit.errors import DataError
from tightfit.evaluation.accuracy import understand, wanted_metrics
from tightfit.evaluation.labels.label_kinds import Reading
from tightfit.kinds import DataLike, ModelLike
from tightfit.pipeline.source import Source
from tightfit.training.loop.finetune_spec import FinetuneSpec
from tightfit.types import Array

_HELD_OUT: Final = 0.25


_MOST_HELD_OUT: Final = 1000


@dataclass(frozen=True)
class GivenTraining:
    """What a caller passed."""

    model: ModelLike
    data: DataLike
    image: ImageOptions | None
    output: Path


@dataclass(frozen=True)
class _Sets:
    """The data of a training.

    Args:
        dataset: that trains.
        training: the samples of it that do.
        measuring: the data that measures.
        measured: the samples of it that do; None for all.
        validation: that chooses the epoch.
    """

    dataset: Dataset
    training: Array
    measuring: Dataset
    measured: Array | None
    validation: Dataset | None

    def others(self) -> list[Dataset]:
        """The sets besides the one that trains."""
        tests = [] if self.measuring is self.dataset else [self.measuring]
        return tests if self.validation is None else [*tests, self.validation]


def open_sets(source: Source, given: GivenTraining, options: FinetuneOptions) -> _Sets:
    """Open training, validation and test data; without test data samples are held out."""

    def opened(spec: DataLike) -> Dataset:
        specs, names = inputs_of(source.model, source.path), outputs_of(source.model)
        return open_data(spec, image=given.image, inputs=specs, outputs=names)

    dataset = opened(given.data)
    validation = None if options.validation is None else opened(options.validation)
    if options.test is None:
        training, held_out = divide(dataset, options)
        return _Sets(dataset, training, dataset, held_out, validation)
    training = np.random.default_rng(options.seed).permutation(len(dataset))[: options.train]
    return _Sets(dataset, training, opened(options.test), None, validation)


def understood_labels(
    source: Source, sets: _Sets, request: FinetuneSpec, options: FinetuneOptions
) -> Reading:
    """What the labels mean, of all samples that train or measure.

    Raises:
        DataError: the labels of one of the sets do not fit the model.
    """
    words = request.words()
    words.check_outputs(outputs_of(source.model))
    metric = wanted_metrics(options.metric)
    reading = understand(source.path, sets.dataset, None, metric, kinds=words.kinds()).reading
    for other in sets.others():
        if reading.heads and not other.has_labels and sets.dataset.has_labels:
            raise DataError(
                f"'{other.source.name}' has no labels, and the training data has. Label both, or neither."
            )
        understand(source.path, other, None, metric, kinds=words.kinds())
    return reading


def divide(dataset: Dataset, options: FinetuneOptions) -> tuple[Array, Array]:
    """Return the samples to train with, shuffled, and those to measure with; both follow the seed.

    Raises:
        DataError: there are too few samples.
    """
    if len(dataset) < 2:
        raise DataError(f"The data has {len(dataset)} sample; training takes many. Give at least 100.")
    held = min(_MOST_HELD_OUT, max(1, int(_HELD_OUT * len(dataset))))
    held_out, training = hold_out(dataset.classes(), len(dataset), held, seed=options.seed)
    training = np.random.default_rng(options.seed).permutation(training)
    return training if options.train is None else training[: options.train], held_out

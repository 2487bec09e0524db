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
from tightfit.data.sources import open_part, refuse_unused
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
_CHOOSE: Final = 0.2
"""Share of the training samples that choose the best epoch, where no validation data is given."""
_FEWEST: Final = 4
"""Fewer samples than this choose nothing."""


@dataclass(frozen=True)
class GivenTraining:
    """What a caller passed."""

    model: ModelLike
    data: DataLike
    image: ImageOptions | None
    output: Path


@dataclass(frozen=True)
class TrainingSets:
    """The data of a training.

    Args:
        dataset: that trains.
        training: the samples of it that do.
        measuring: the data that measures.
        measured: the samples of it that do; None for all.
        validation: that chooses the epoch; None where there are too few samples.
        validating: the samples of it that do; None for all.
    """

    dataset: Dataset
    training: Array
    measuring: Dataset
    measured: Array | None
    validation: Dataset | None
    validating: Array | None = None

    def others(self) -> list[Dataset]:
        """The sets besides the one that trains."""
        return [d for d in (self.measuring, self.validation) if d is not None and d is not self.dataset]


def open_sets(source: Source, given: GivenTraining, options: FinetuneOptions) -> TrainingSets:
    """Open training, validation and test data; what is not given is held out of the training data."""

    def opened(spec: DataLike) -> Dataset:
        specs, names = inputs_of(source.model, source.path), outputs_of(source.model)
        return open_part(spec, image=given.image, inputs=specs, outputs=names)

    dataset = opened(given.data)
    validation = None if options.validation is None else opened(options.validation)
    measuring = dataset if options.test is None else opened(options.test)
    refuse_unused(given.image, [dataset, measuring, *([] if validation is None else [validation])])
    if options.test is None:
        rest, measured = divide(dataset, options)
    else:
        rest, measured = np.random.default_rng(options.seed).permutation(len(dataset)), None
    if validation is not None:
        return TrainingSets(dataset, rest[: options.train], measuring, measured, validation)
    training, validating = _choosing(dataset, rest, options)
    chooses = None if validating is None else dataset
    return TrainingSets(dataset, training, measuring, measured, chooses, validating)


def understood_labels(
    source: Source, sets: TrainingSets, request: FinetuneSpec, options: FinetuneOptions
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
    return np.random.default_rng(options.seed).permutation(training), held_out


def _choosing(dataset: Dataset, rest: Array, options: FinetuneOptions) -> tuple[Array, Array | None]:
    """The samples that train, and those of the others that choose: each class in about its share."""
    most = len(rest) if options.train is None else min(options.train, len(rest))
    count = min(_MOST_HELD_OUT, round(_CHOOSE * most), len(rest) - min(options.batch, most))
    if count < _FEWEST:
        return rest[:most], None
    classes = dataset.classes()
    chosen, _ = hold_out(None if classes is None else classes[rest], len(rest), count, seed=options.seed)
    trains = np.ones(len(rest), bool)
    trains[chosen] = False
    return rest[trains][:most], rest[chosen]

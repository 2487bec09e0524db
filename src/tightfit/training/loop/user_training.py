"""``UserTraining``: the optimizer, loss, metrics and batches that a compiled Keras model was trained with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tightfit.training.loop.distillation import Distillation
from tightfit.types import Array


@dataclass(frozen=True)
class UserTraining:
    """A training that goes on as the user compiled it.

    Args:
        model: the compiled Keras model.
        batches: what ``fit`` takes: a ``keras.utils.PyDataset``, a ``tf.data.Dataset``, a torch
            ``DataLoader``; with its shuffling and augmentation, which run anew in each epoch.
        steps: steps of an epoch.
        validation: batches of validation data, or None.
    """

    model: Any
    batches: Any
    steps: int
    validation: Any = None

    def compile(self, student: Distillation) -> None:
        """Compile a student with copies of the optimizer, the loss and the metrics of the user's model."""
        loss, metrics = self.model._compile_loss, self.model._compile_metrics  # noqa: SLF001 - Keras has no public name
        student.compile(
            _copy_of(self.model.optimizer),
            loss=getattr(loss, "_user_loss", None),
            loss_weights=getattr(loss, "_user_loss_weights", None),
            metrics=_fresh(getattr(metrics, "_user_metrics", None)),
            weighted_metrics=_fresh(getattr(metrics, "_user_weighted_metrics", None)),
        )


def is_trainable_as_compiled(model: Any) -> bool:
    """Return whether a model is a Keras model that was compiled with a loss."""
    loss = getattr(model, "_compile_loss", None)
    return isinstance(model, keras.Model) and model.compiled and getattr(loss, "_user_loss", None) is not None


def are_batches(data: Any) -> bool:
    """Return whether ``fit`` takes data as it is, and starts it anew in each epoch."""
    kinds = {"DataLoader", "DatasetV2", "DistributedDataset"}
    return isinstance(data, keras.utils.PyDataset) or bool(kinds & {c.__name__ for c in type(data).__mro__})


def steps_of(batches: Any, samples: int, size: int) -> int:
    """Return the number of steps of an epoch.

    Args:
        batches: see ``UserTraining``.
        samples: the samples that it yields in an epoch.
        size: samples of a batch, where the batches have no length.
    """
    try:
        return max(1, len(batches))
    except TypeError:
        return max(1, math.ceil(samples / size))


class ArrayBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Batches of (x, y) or (x, y, sample_weight) as ``fit`` takes them, shuffled by seed and epoch.

    Args:
        data: the arrays, each also a mapping from names to arrays.
        indices: the samples.
        size: samples of a batch.
        seed: of the shuffling; None for none.
    """

    def __init__(self, data: tuple[Any, ...], indices: Array, size: int, seed: int | None = None) -> None:
        super().__init__()
        self.data, self.indices, self.size = data, np.asarray(indices, np.int64), min(size, len(indices))
        self.seed, self.epoch = seed, 0
        self._shuffle()

    def __len__(self) -> int:
        count = len(self.indices) / self.size
        return math.ceil(count) if self.seed is None else math.floor(count)

    def __getitem__(self, batch: int) -> Any:
        chosen = self.order[batch * self.size : (batch + 1) * self.size]
        return tuple(_rows(part, chosen) for part in self.data)

    def begin(self, epoch: int) -> None:
        """Begin at an epoch."""
        self.epoch = epoch
        self._shuffle()

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        self.order = self.indices
        if self.seed is not None:
            self.order = np.random.default_rng([self.seed, self.epoch]).permutation(self.indices)


def _rows(part: Any, chosen: Array) -> Any:
    if isinstance(part, Mapping):
        return {name: _rows(values, chosen) for name, values in part.items()}
    return np.asarray(part)[chosen]


def _copy_of(optimizer: Any) -> Any:
    """An optimizer with the same options and the present learning rate, for other variables."""
    return type(optimizer).from_config(optimizer.get_config())


def _fresh(metrics: Any) -> Any:
    """Copies of metric objects: their state belongs to one model."""
    if isinstance(metrics, keras.metrics.Metric):
        return type(metrics).from_config(metrics.get_config())
    if isinstance(metrics, Mapping):
        return {name: _fresh(each) for name, each in metrics.items()}
    return [_fresh(each) for each in metrics] if isinstance(metrics, list | tuple) else metrics

"""The options of a training. This module does not import Keras, so commands can check options before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tightfit.training.losses.loss_words import LossLike, Weights

BATCH: Final = 32
"""Samples in a step where nothing is said of it."""


@dataclass(frozen=True)
class TrainingOptions:
    """The options of a training.

    Args:
        sparsity: fraction of zeros in the pruned weights, 0–1; None for no pruning.
        pattern: pattern of the zeros (``transforms.mask.Mask``).
        scope: what has the sparsity: ``file``, ``layer`` or ``global`` (``weights.zeros.SCOPES``).
        schedule: sparsity schedule, a key of ``sparsity_schedules.SCHEDULES``.
        clusters: number of centroids, 2 or more; None for no clustering.
        per: scope that shares the centroids, ``tensor`` or ``channel``.
        initial: centroid initialization (``weights.centroids.INITIAL``).
        ranges: range updates (``fake_quant.quantizers.RANGES``).
        epochs: total epochs of all stages.
        batch: samples in a step; the default takes all where there are fewer, see ``batch_of``.
        learning_rate: most relative change of a weight in a step (``RelativeAdam``), with a cosine decay to
            zero; None for a default that depends on the other options.
        labels: ``auto`` (both losses where there are labels), ``yes``, ``no``, or ``input``: the model gives
            back its input.
        loss: loss of the labels: a name, ``output=name``, ``module:function``, a function, a Keras loss, or
            a mapping from outputs to such (``loss_words``).
        loss_weights: output → weight of its loss, 1 for others.
        class_weights: class → weight, or ``balanced``.
        features: intermediate tensors of the teacher to match besides its outputs.
        seed: seed of the shuffling.
        augment: names of image augmentations (``augmentation.AUGMENTATIONS``), or functions like them.
        teacher: a float model with the same outputs, or several; None for the model itself.
        teacher_outputs: (output of the model, output of the teacher), where names and places do not decide.
    """

    sparsity: float | None = None
    pattern: str = "unstructured"
    scope: str = "file"
    schedule: str = "polynomial"
    clusters: int | None = None
    per: str = "tensor"
    initial: str = "kmeans++"
    ranges: str = "learned"
    epochs: int = 5
    batch: int = BATCH
    learning_rate: float | None = None
    labels: str = "auto"
    loss: LossLike = "auto"
    loss_weights: Weights = ()
    class_weights: Weights = ()
    features: tuple[str, ...] = ()
    seed: int = 0
    augment: tuple[str | Callable[..., object], ...] = ()
    teacher: object = None
    teacher_outputs: tuple[tuple[str, str], ...] = ()

    def batch_of(self, samples: int) -> int:
        """Return the samples in a step: of fewer samples than the default batch, all.

        Example:
            >>> TrainingOptions().batch_of(20), TrainingOptions(batch=64).batch_of(20)
            (20, 64)
        """
        return max(1, min(self.batch, samples)) if self.batch == BATCH else self.batch

"""What a training may be told, free of Keras, so that a command can be read before Keras is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainingOptions:
    """How a model is trained, whatever it is trained for.

    Args:
        sparsity, pattern, scope: see ``pruning.Mask``.
        schedule: a name of ``schedules.SCHEDULES``.
        clusters, per, initial: see ``clustering.Cluster``.
        ranges: how they move, see ``quantizers``.
        epochs: of all stages together.
        batch: samples a step.
        learning_rate: the share by which a step moves a weight (``RelativeAdam``); a cosine brings it to
            zero. None takes what fits the request.
        labels: ``auto`` (both losses where there are labels), ``yes`` or ``no``.
        features: tensors that the teacher shows besides its outputs.
        seed: of shuffling.
        augment: what is done to training images, names of ``augmentation.AUGMENTATIONS``.
        teacher: the file of a larger float model with the same outputs, for one that has lost channels;
            None takes the model itself.
    """

    sparsity: float | None = None
    pattern: str = "unstructured"
    scope: str = "layer"
    schedule: str = "polynomial"
    clusters: int | None = None
    per: str = "tensor"
    initial: str = "kmeans++"
    ranges: str = "learned"
    epochs: int = 5
    batch: int = 32
    learning_rate: float | None = None
    labels: str = "auto"
    features: tuple[str, ...] = ()
    seed: int = 0
    augment: tuple[str, ...] = ()
    teacher: str | Path | None = None

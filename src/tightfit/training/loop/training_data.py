"""The data of a training, what it gives back, and what a checkpoint of it belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import keras
import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.evaluation.labels.label_kinds import Head
from tightfit.graph.ir import Model
from tightfit.graph.writer import serialize
from tightfit.quantization.plan import Plan
from tightfit.quantization.scheme import Scheme
from tightfit.training.loop.batch_share import WHOLE, Share
from tightfit.training.loop.finetune_spec import FinetuneSpec
from tightfit.training.loop.user_training import UserTraining
from tightfit.training.losses.loss_words import spelled
from tightfit.types import Array, Samples


@dataclass
class Trained:
    """The result of a training.

    Args:
        model: the trained float model.
        plan: its plan; ``apply_plan`` of the two is the file. None for a float file.
        history: one row for each epoch.
        notes: remarks for the report.
        gained: fraction of the loss on validation data that training won over ``start``, 0 where unknown.
        start: the model and the plan before the training, with all zeros and clusters; None where a teacher
            alone trains.
    """

    model: Model
    plan: Plan | None
    history: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    gained: float = 0.0
    start: tuple[Model, Plan | None] | None = None

    def of(self, kept: str) -> Model:
        """Return the float model of the file: ``start``, or the trained one."""
        return self.start[0] if kept == "start" and self.start is not None else self.model


Prepare = Callable[[Model, Scheme, Samples, bool], tuple[Model, Plan]]


@dataclass(frozen=True)
class TrainingData:
    """The data of a training, besides the model.

    Args:
        dataset: samples, with or without labels.
        indices: the samples to train and calibrate with.
        teacher: the float model to distil from, or several.
        heads: what the labels mean, see ``evaluation.labels``; None reads it from the teacher's answers.
        prepare: called with (model, scheme, calibration samples, whether its weights may be changed);
            returns the float model and the plan to train from.
        validation: data that chooses the best epoch; None keeps the last one.
        validating: the samples of it that do; None for all.
        user: optimizer, loss, metrics and batches of a compiled Keras model that trains on; None for ours.
        frozen: keys of constants that are not trained.
        share: of each batch, where several processes train together.
    """

    dataset: Dataset
    indices: Sequence[int] | Array
    teacher: Model | Sequence[Model]
    prepare: Prepare
    heads: Sequence[Head] | None = None
    validation: Dataset | None = None
    validating: Sequence[int] | Array | None = None
    user: UserTraining | None = None
    frozen: frozenset[str] = frozenset()
    share: Share = WHOLE

    def teachers(self) -> list[Model]:
        """Return the teachers."""
        return [self.teacher] if isinstance(self.teacher, Model) else list(self.teacher)


def checkpoint_settings(request: FinetuneSpec, data: TrainingData, model: Model) -> str:
    """Return what a checkpoint belongs to: the bytes of model, teacher and data, and the options."""
    facts = {f.name: spelled(getattr(request, f.name)) for f in fields(request)} | {
        "data": data.dataset.fingerprint(),
        "samples": [_digest(data.indices), _digest(data.validating)],
        "validation": None if data.validation is None else data.validation.fingerprint(),
        "model": hashlib.sha256(serialize(model)).hexdigest(),
        "teacher": [hashlib.sha256(serialize(t)).hexdigest() for t in data.teachers()],
        "backend": keras.backend.backend(),
        "frozen": sorted(data.frozen),
    }
    return json.dumps(facts, sort_keys=True, default=str)


def _digest(indices: Any) -> str:
    chosen = b"" if indices is None else np.asarray(indices, np.int64).tobytes()
    return hashlib.sha256(chosen).hexdigest()

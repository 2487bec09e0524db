"""The data of a training, what it gives back, and what a checkpoint of it belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import keras

from tightfit.data.dataset import Dataset
from tightfit.evaluation.labels.label_kinds import Head
from tightfit.graph.ir import Model
from tightfit.graph.writer import serialize
from tightfit.quantization.plan import Plan
from tightfit.quantization.scheme import Scheme
from tightfit.training.loop.finetune_spec import FinetuneSpec
from tightfit.training.loop.loss_words import spelled
from tightfit.types import Array, Samples


@dataclass
class Trained:
    """The result of a training.

    Args:
        model: the trained float model.
        plan: its plan; ``apply_plan`` of the two is the file. None for a float file.
        history: one row for each epoch.
        notes: remarks for the report.
    """

    model: Model
    plan: Plan | None
    history: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


Prepare = Callable[[Model, Scheme, Samples, bool], tuple[Model, Plan]]


@dataclass(frozen=True)
class TrainingData:
    """The data of a training, besides the model.

    Args:
        dataset: samples, with or without labels.
        indices: the samples to train and calibrate with.
        teacher: the float model to distil from.
        heads: what the labels mean, see ``evaluation.labels``; None reads it from the teacher's answers.
        prepare: called with (model, scheme, calibration samples, whether its weights may be changed);
            returns the float model and the plan to train from.
        validation: samples that choose the best epoch; None keeps the last one.
    """

    dataset: Dataset
    indices: Sequence[int] | Array
    teacher: Model
    prepare: Prepare
    heads: Sequence[Head] | None = None
    validation: Dataset | None = None


def checkpoint_settings(request: FinetuneSpec, data: TrainingData, model: Model) -> str:
    """Return what a checkpoint belongs to: the bytes of model, teacher and data, and the options."""
    facts = {f.name: spelled(getattr(request, f.name)) for f in fields(request)} | {
        "data": data.dataset.fingerprint(),
        "samples": len(data.indices),
        "validation": None if data.validation is None else data.validation.fingerprint(),
        "model": hashlib.sha256(serialize(model)).hexdigest(),
        "teacher": hashlib.sha256(serialize(data.teacher)).hexdigest(),
        "backend": keras.backend.backend(),
    }
    return json.dumps(facts, sort_keys=True, default=str)

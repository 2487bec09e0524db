"""Fine-tuning in stages: pruning in float first, then clustering and QAT together.

    sparsity alone          Mask                          float file with zeros
    scheme alone            plan                          QAT
    sparsity + scheme       Mask → Mask + plan            PQAT
    clusters + scheme       Cluster + plan                CQAT
    all three               Mask → Mask + Cluster + plan  PCQAT

Without labels the loss is the distillation from the float model; with labels, half of each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import keras

from tightfit.data.dataset import Dataset
from tightfit.data.sample import Sample
from tightfit.evaluation.labels import PLAIN, TRAINED, Head
from tightfit.graph.ir import Model
from tightfit.graph.writer import serialize
from tightfit.quantization.plan import Plan
from tightfit.quantization.scheme import Scheme
from tightfit.training.export import export
from tightfit.training.fake_quant.learned_scales import short_scales
from tightfit.training.loop.callbacks import KeepLastGood, UpdateMasks
from tightfit.training.loop.checkpoints import (
    Progress,
    SaveEachEpoch,
    arrays_of,
    load_progress,
    restore,
    save_progress,
)
from tightfit.training.loop.distillation import Distillation
from tightfit.training.loop.finetune_spec import FinetuneSpec, check_clusters, check_request
from tightfit.training.loop.label_loss import LabelLoss, heads_of, loss_for
from tightfit.training.loop.optimizer import RelativeAdam, sizes_of
from tightfit.training.loop.training_batches import Batches
from tightfit.training.network import Network
from tightfit.training.transforms.mask import SMALLEST
from tightfit.training.transforms.sparsity_schedules import SCHEDULES
from tightfit.training.transforms.weight_transforms import Cluster, Mask
from tightfit.types import Array, Samples

CALIBRATION: Final = 100
_LABELS_SHARE: Final = 0.5
_LOOKED_AT: Final = 4
"""Samples whose answers show what labels mean."""
_WARM_UP: Final = 0.05
"""Warm-up: fraction of a stage in which the learning rate grows, because Adam's first steps are noisy."""
_LAST_SHARE: Final = 0.02
_SHARE_BETWEEN: Final = 0.3
"""Learning rate at the end of a stage that another follows, as a fraction of its value."""
_UPDATES: Final = 40
"""Number of mask updates in a stage; small changes of the sparsity recover better."""
_STAYS_DENSE: Final = (
    f"Not pruned: depthwise convolutions and weights of fewer than {SMALLEST} elements: few, and they lose "
    "most. The zeros of the whole file are a smaller share than the sparsity."
)


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
    """

    dataset: Dataset
    indices: Sequence[int] | Array
    teacher: Model
    prepare: Prepare
    heads: Sequence[Head] | None = None


def finetune(
    model: Model,
    data: TrainingData,
    request: FinetuneSpec,
    checkpoint: Path,
    listener: Callable[[str, int, int, dict[str, Any]], None] | None = None,
) -> Trained:
    """Train a float model as requested; resume from the checkpoint of the same training.

    Args:
        model: a cleaned float model; it is not changed.
        data: samples, teacher, and the function that makes a plan.
        request: sparsity, clusters, scheme, epochs and the other options.
        checkpoint: path of the checkpoint, written after each epoch; the caller removes it at the end.
        listener: progress callback, called with (stage, step, steps, metrics) after each step.

    Returns:
        The trained float model and its plan.

    Raises:
        OptionError, DataError: see ``check_request``.
        ModelError: an op has no lowering; the message names it.
    """
    labelled = check_request(request, data.dataset)
    check_clusters(request, model)
    settings = _settings(request, data, model)
    progress = load_progress(checkpoint, settings) or Progress(settings)
    training = _Training(model, data, request, progress, labelled=labelled)
    for index, stage in enumerate(request.stages()):
        training.run(index, stage, checkpoint, listener)
    return Trained(training.current, training.plan, progress.history, training.notes)


class _Training:
    """The stages of one request; ``current`` is the float model so far."""

    def __init__(
        self, model: Model, data: TrainingData, request: FinetuneSpec, progress: Progress, *, labelled: bool
    ) -> None:
        self.current = model
        self.teacher, self.prepare = data.teacher, data.prepare
        self.dataset, self.indices, self.request = data.dataset, data.indices, request
        self.progress = progress
        self.heads = [h for h in self._meaning(data.heads) if h.kind in TRAINED] if labelled else []
        self.labelled = bool(self.heads)
        self.loss: LabelLoss | None = None
        self.plan: Plan | None = None
        self.notes: list[str] = []

    def _meaning(self, heads: Sequence[Head] | None) -> Sequence[Head]:
        if heads is not None:
            return heads
        plain, named = self.dataset.labels(self.indices), self.dataset.named_labels(self.indices)
        scalars = named if plain is None else {**named, PLAIN: plain}
        return heads_of(Network(self.teacher, check=False), self._first(_LOOKED_AT), scalars)

    def run(self, index: int, stage: str, checkpoint: Path, listener: Any) -> None:
        """Train one stage, or only rebuild its result when the checkpoint has it.

        Args:
            index: index of the stage.
            stage: name of the stage.
            checkpoint: path of the checkpoint.
            listener: progress callback.
        """
        epochs = self._epochs(stage)
        network = self._network(stage, epochs)
        student = self._student(network)
        self._compile(student, epochs, last=index == len(self.request.stages()) - 1)
        if index < self.progress.stage:
            restore(student, self.progress.finished[index])
        else:
            if self.progress.arrays:
                restore(student, self.progress.arrays)
            self._fit(student, network, (self.progress.epoch, epochs), checkpoint, listener)
            self.progress.arrays = arrays_of(student)
            self.progress.finish_stage()
            save_progress(checkpoint, self.progress)
        self.current, self.plan = export(network)

    def _epochs(self, stage: str) -> int:
        both = len(self.request.stages()) == 2
        half = self.request.epochs // 2
        return self.request.epochs if not both else half if stage == "prune" else self.request.epochs - half

    def _network(self, stage: str, epochs: int) -> Network:
        request = self.request
        transforms: list[Any] = []
        if request.sparsity is not None:
            steps = epochs * max(1, len(self.indices) // request.batch)
            ramps = stage == "prune" or len(request.stages()) == 1
            schedule = SCHEDULES[request.schedule if ramps else "one-shot"]
            transforms.append(Mask(schedule(request.sparsity, steps), request.pattern, request.scope))
            if ramps:
                self.notes.append(_STAYS_DENSE)
        if stage == "finish" and request.clusters is not None:
            transforms.append(Cluster(request.clusters, request.initial, request.per))
        plan = None
        if stage == "finish" and request.scheme is not None:
            plan = self._plan(request.scheme, free=not transforms)
        return Network(self.current, plan, transforms, ranges=request.ranges)

    def _plan(self, scheme: Scheme, *, free: bool) -> Plan:
        """The plan that training starts from."""

        def samples() -> Any:
            return (s.inputs for s in self.dataset.samples(list(self.indices[:CALIBRATION])))

        self.current, plan = self.prepare(self.current, scheme, samples, free)
        return short_scales(plan) if self.request.ranges == "learned" else plan

    def _student(self, network: Network) -> Any:
        teacher = Network(self.teacher, check=False)
        share = _LABELS_SHARE if self.labelled else 0.0
        student = Distillation(network, teacher, self.request.features, labels_share=share)
        self.loss = loss_for(self.heads, student, self._first) if self.labelled else None
        student.label_loss = self.loss
        return student

    def _first(self, count: int) -> list[Sample]:
        return list(self.dataset.samples([int(i) for i in self.indices[:count]]))

    def _compile(self, student: Any, epochs: int, *, last: bool) -> None:
        steps = epochs * max(1, len(self.indices) // self.request.batch)
        warm = int(_WARM_UP * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warm else self.request.rate,
            steps - warm,
            alpha=_LAST_SHARE if last else _SHARE_BETWEEN,
            warmup_target=self.request.rate if warm else None,
            warmup_steps=warm,
        )
        student.compile(RelativeAdam(rate, sizes_of(student.student)))

    def _fit(
        self, student: Any, network: Network, epochs: tuple[int, int], checkpoint: Path, listener: Any
    ) -> None:
        request, (first, last) = self.request, epochs
        batches = Batches(
            self.dataset, self.indices, request.batch,
            targets=None if self.loss is None else self.loss.targets,
            seed=request.seed, epoch=first, augment=request.augment,
        )  # fmt: skip
        done = first * len(batches)
        keep = KeepLastGood()
        callbacks = [
            UpdateMasks(network, every=max(1, last * len(batches) // _UPDATES), start=done),
            keep,
            SaveEachEpoch(checkpoint, self.progress),
            _Steps(listener, self.progress.stage, done, (len(batches), last)),
        ]
        # Keras would shuffle the batches differently each time; these are shuffled by seed and epoch.
        student.fit(batches, initial_epoch=first, epochs=last, verbose=0, shuffle=False, callbacks=callbacks)
        if keep.failed is not None:
            self.notes.append(
                f"The loss became NaN or infinite in epoch {keep.failed + 1}; the weights of the epoch "
                "before were kept. Train with a smaller learning rate."
            )


def _settings(request: FinetuneSpec, data: TrainingData, model: Model) -> str:
    """Return what a checkpoint belongs to: the bytes of model, teacher and data, and the options."""
    facts = asdict(request) | {
        "data": data.dataset.fingerprint(),
        "samples": len(data.indices),
        "model": hashlib.sha256(serialize(model)).hexdigest(),
        "teacher": hashlib.sha256(serialize(data.teacher)).hexdigest(),
        "backend": keras.backend.backend(),
    }
    return json.dumps(facts, sort_keys=True, default=str)


class _Steps(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Calls the progress callback after each step."""

    def __init__(self, listener: Any, stage: int, done: int, length: tuple[int, int]) -> None:
        super().__init__()
        self.listener, self.stage, self.done = listener, stage, done
        self.steps, self.epochs = length

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        """Call the progress callback."""
        self.done += 1
        if self.listener is not None:
            epoch = {"epoch": -(-self.done // max(self.steps, 1)), "epochs": self.epochs}
            self.listener(
                f"stage {self.stage + 1}", self.done, self.steps * self.epochs, {**(logs or {}), **epoch}
            )


__all__ = ["FinetuneSpec", "Trained", "TrainingData", "finetune"]

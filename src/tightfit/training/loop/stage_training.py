"""``StageTraining``: the stages of one training, each resumed from its checkpoint."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import keras

from tightfit.data.sample import WEIGHT, Sample
from tightfit.evaluation.labels.label_kinds import PLAIN, Head
from tightfit.graph.ir import Model
from tightfit.graph.signatures import output_names
from tightfit.quantization.plan import Plan
from tightfit.quantization.scheme import Scheme
from tightfit.training.export import export
from tightfit.training.fake_quant.learned_scales import short_scales
from tightfit.training.loop.batch_share import WHOLE
from tightfit.training.loop.callbacks import Steps, StopAtNaN, UpdateMasks
from tightfit.training.loop.checkpoints import (
    BEST,
    NOW,
    SaveEachEpoch,
    TrainingProgress,
    arrays_of,
    restore,
    save_progress,
    stored_arrays,
    variables,
)
from tightfit.training.loop.distillation import Distillation
from tightfit.training.loop.finetune_spec import FinetuneSpec
from tightfit.training.loop.optimizer import RelativeAdam, sizes_of
from tightfit.training.loop.training_batches import Batches
from tightfit.training.loop.training_data import TrainingData
from tightfit.training.losses.label_loss import LabelLoss, heads_of, loss_for, own_heads, trains
from tightfit.training.network import Network
from tightfit.training.transforms.sparsity_schedules import SCHEDULES
from tightfit.training.transforms.weight_transforms import Cluster, Mask, check_sites
from tightfit.types import Array
from tightfit.units import format_percent
from tightfit.weights.zeros import COUNTED

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


class StageTraining:
    """The stages of one request; ``current`` is the float model so far."""

    def __init__(
        self,
        model: Model,
        data: TrainingData,
        request: FinetuneSpec,
        progress: TrainingProgress,
        *,
        labelled: bool,
    ) -> None:
        self.current = model
        self.teachers, self.prepare = data.teachers(), data.prepare
        self.dataset, self.indices, self.request = data.dataset, data.indices, request
        self.progress = progress
        self.words, self.validation, self.validating = request.words(), data.validation, data.validating
        self.user, self.frozen, self.share = data.user, data.frozen, data.share
        self.heads = self._trained(data.heads) if labelled and self.user is None else []
        self.labelled = bool(self.heads)
        self.loss: LabelLoss | None = None
        self.plan: Plan | None = None
        self.start: tuple[Model, Plan | None] | None = None
        self.starts: dict[str, Plan] = {}
        self.batch = request.batch_of(len(data.indices))
        self.share.check(self.batch)
        self.notes: list[str] = []
        if self.batch < request.batch and self.user is None:
            self.notes.append(
                f"Each training step takes all {self.batch} samples: there are fewer than the "
                f"{request.batch} of a batch."
            )

    def _trained(self, given: Sequence[Head] | None) -> list[Head]:
        """The heads that train."""
        outputs = list(output_names(self.current))
        self.words.check_outputs(outputs)
        if given is None:
            given = heads_of(
                Network(self.current, check=False),
                self._first(_LOOKED_AT),
                self._scalars(),
                self.words.kinds(),
            )
        return [h for h in own_heads(given, self.words, outputs) if trains(h, self.words)]

    def _scalars(self) -> dict[str, Array]:
        plain, named = self.dataset.labels(self.indices), self.dataset.named_labels(self.indices)
        return named if plain is None else {**named, PLAIN: plain}

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
        progress, group = self.progress, f"stage{index}"
        if index >= progress.stage:
            student = self._student(network)
            self._compile(student, epochs, last=index == len(self.request.stages()) - 1)
            if progress.epoch:
                restore(variables(student), stored_arrays(checkpoint, progress, NOW))
            finite = self._fit(student, network, (progress.epoch, epochs), checkpoint, listener)
            self._choose_epoch(student, network, stage, checkpoint, finite=finite)
            progress.finish_stage()
            save_progress(checkpoint, progress, {group: arrays_of(network.variables, student)})
        else:
            restore(network.variables, stored_arrays(checkpoint, progress, group))
        if self._has_start(network, stage):
            held = bool(network.transforms)
            self.start = export(self._beginning(stage)) if held else (self.current, network.plan)
        self.current, self.plan = export(network)

    def _has_start(self, network: Network, stage: str) -> bool:
        """Whether the file could be written before the stage: it rounds, or is the last to change weights."""
        return network.plan is not None or (bool(network.transforms) and stage == self.request.stages()[-1])

    def _beginning(self, stage: str) -> Network:
        """The network of a stage before its training, with all zeros."""
        network = self._network(stage, self._epochs(stage))
        for mask in (t for t in network.transforms if isinstance(t, Mask)):
            mask.finish()
        return network

    def _choose_epoch(
        self, student: Any, network: Network, stage: str, checkpoint: Path, *, finite: bool
    ) -> None:
        """Take the weights of the best epoch: with validation data that of the least loss, else the last.

        The weights before the training, with all zeros, are an epoch like the others.
        """
        progress, best = self.progress, self.progress.best
        judged = self._validating() is not None and self._has_start(network, stage)
        if judged or not (finite or best or progress.epoch):
            restore(network.variables, arrays_of(self._beginning(stage).variables, student))
        loss = self._validation_loss(student) if judged else math.inf
        progress.gained = 1.0 - best["value"] / loss if judged and best and loss > 0 else 0.0
        if judged and progress.gained <= 0.0:
            self.notes.append(
                "No epoch had a smaller loss on the validation data than the model before the training."
            )
        elif best:
            self._note_best(int(best["epoch"]) + 1, self._epochs(stage))
            restore(network.variables, stored_arrays(checkpoint, progress, BEST))
        elif (judged or not finite) and progress.epoch:
            last = stored_arrays(checkpoint, progress, NOW)
            restore(network.variables, itertools.islice(last, len(network.variables)))

    def _validation_loss(self, student: Any) -> float:
        found = student.evaluate(self._validating(), verbose=0, return_dict=True)
        return float(found["loss"])

    def _note_best(self, best: int, epochs: int) -> None:
        if best < epochs:
            self.notes.append(
                f"The weights are those of epoch {best} of {epochs}, "
                "where the loss on the validation data was least."
            )

    def _epochs(self, stage: str) -> int:
        both = len(self.request.stages()) == 2
        half = self.request.epochs // 2
        return self.request.epochs if not both else half if stage == "prune" else self.request.epochs - half

    def _network(self, stage: str, epochs: int) -> Network:
        request = self.request
        transforms: list[Any] = []
        if request.sparsity is not None:
            steps = epochs * max(1, len(self.indices) // self.batch)
            ramps = stage == "prune" or len(request.stages()) == 1
            schedule = SCHEDULES[request.schedule if ramps else "one-shot"]
            transforms.append(Mask(schedule(request.sparsity, steps), request.pattern, request.scope))
        if stage == "finish" and request.clusters is not None:
            transforms.append(Cluster(request.clusters, request.initial, request.per))
        plan = None
        if stage == "finish" and request.scheme is not None:
            plan = self._plan(stage, request.scheme, free=not transforms)
        network = Network(self.current, plan, transforms, ranges=request.ranges, frozen=self.frozen)
        check_sites(transforms)
        if stage == self.request.stages()[0] and request.sparsity is not None:
            self._note_zeros(transforms[0], request.sparsity)
        return network

    def _steps(self) -> int:
        """Steps of an epoch."""
        return max(1, len(self.indices) // self.batch) if self.user is None else self.user.steps

    def _note_zeros(self, mask: Mask, sparsity: float) -> None:
        """Note what stays dense, and the sparsity of the layers that make up for it."""
        pruned = sum(weight.values.size for weight, _ in mask.sites)
        found = mask.layer_sparsity(sparsity)
        whole = found * pruned / max(mask.counted, 1)
        note = (
            f"Pruned are {len(mask.sites)} tensors with {pruned:,} of the {mask.counted:,} weights in "
            f"tensors of {COUNTED} elements or more, each to {format_percent(found)} zeros, "
            f"which is {format_percent(whole)} of the file; depthwise convolutions and tensors of fewer than "
            f"{mask.least:,} elements stay dense."
        )
        if note not in self.notes:
            self.notes.append(note)

    def _plan(self, stage: str, scheme: Scheme, *, free: bool) -> Plan:
        """The plan that training starts from, made once."""

        def samples() -> Any:
            return (s.inputs for s in self.dataset.samples(list(self.indices[:CALIBRATION])))

        if stage not in self.starts:
            self.current, self.starts[stage] = self.prepare(self.current, scheme, samples, free)
        return short_scales(self.starts[stage]) if self.request.ranges == "learned" else self.starts[stage]

    def _student(self, network: Network) -> Any:
        if self.user is not None:
            return Distillation(network, [], labels_share=1.0)
        teachers = [Network(each, check=False) for each in self.teachers]
        share = _LABELS_SHARE if self.labelled else 0.0
        student = Distillation(
            network, teachers, self.request.features, labels_share=share, measured=self.labelled,
            outputs=dict(self.request.teacher_outputs),
        )  # fmt: skip
        if self.labelled:
            self.loss = loss_for(self.heads, student, self._first, self.words, self._scalars())
        student.label_loss = self.loss
        return student

    def _first(self, count: int) -> list[Sample]:
        return list(self.dataset.samples([int(i) for i in self.indices[:count]]))

    def _compile(self, student: Any, epochs: int, *, last: bool) -> None:
        if self.user is not None:
            self.user.compile(student)
            return
        steps = epochs * self._steps()
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
    ) -> bool:
        """Train from an epoch to another; return False when the loss was not finite."""
        first, last = epochs
        batches, steps = self._batches(first)
        done = first * steps
        updates = UpdateMasks(network, every=max(1, last * steps // _UPDATES), start=done)
        stop = StopAtNaN()
        callbacks = [
            updates,
            stop,
            SaveEachEpoch(checkpoint, self.progress, lambda epoch: updates.settled(epoch * steps)),
            Steps(listener, self.progress.stage, done, (steps, last)),
        ]
        # Keras would shuffle the batches differently each time; these are shuffled by seed and epoch.
        student.fit(
            batches, validation_data=self._validating(), initial_epoch=first, epochs=last, verbose=0,
            shuffle=False, callbacks=callbacks,
        )  # fmt: skip
        if stop.failed is None:
            return True
        self.notes.append(
            f"The loss became NaN or infinite in epoch {stop.failed + 1}; the weights of the epoch "
            "before were kept. Train with a smaller learning rate."
        )
        return False

    def _batches(self, epoch: int) -> tuple[Any, int]:
        """The training batches from an epoch on, and the number of steps of an epoch."""
        if self.user is not None:
            batches = self.user.batches
            if hasattr(batches, "begin"):
                batches.begin(epoch)
            return batches, self.user.steps
        request, targets = self.request, None if self.loss is None else self.loss.targets
        weighted = WEIGHT in self._first(1)[0].labels
        batches = Batches(
            self.dataset, self.indices, self.batch, targets=targets, weighted=weighted,
            seed=request.seed, epoch=epoch, augment=request.augment, share=self.share,
        )  # fmt: skip
        return batches, len(batches)

    def _validating(self) -> Any:
        if self.user is not None:
            return self.user.validation
        if self.validation is None:
            return None
        targets = None if self.loss is None else self.loss.targets
        chosen = range(len(self.validation)) if self.validating is None else self.validating
        size = self.request.batch
        # A rest that cannot be shared evenly would count for more: then each process reads all.
        even = self.share.divides(len(chosen)) and self.share.divides(size)
        share = self.share if even else WHOLE
        return Batches(self.validation, chosen, size, targets=targets, measures=True, share=share)

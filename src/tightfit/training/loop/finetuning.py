"""Fine-tuning in stages: pruning in float first, then clustering and QAT together.

    sparsity alone          Mask                          float file with zeros
    scheme alone            plan                          QAT
    sparsity + scheme       Mask → Mask + plan            PQAT
    clusters + scheme       Cluster + plan                CQAT
    all three               Mask → Mask + Cluster + plan  PCQAT

Without labels the loss is the distillation from the float model; with labels, half of each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
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
from tightfit.training.loop.callbacks import StopAtNaN, UpdateMasks
from tightfit.training.loop.checkpoints import (
    BEST,
    NOW,
    Progress,
    SaveEachEpoch,
    arrays_of,
    load_progress,
    restore,
    save_progress,
    stored_arrays,
    variables,
)
from tightfit.training.loop.distillation import Distillation
from tightfit.training.loop.finetune_spec import FinetuneSpec, check_clusters, check_request
from tightfit.training.loop.label_loss import LabelLoss, heads_of, loss_for, own_heads, trains
from tightfit.training.loop.optimizer import RelativeAdam, sizes_of
from tightfit.training.loop.training_batches import Batches
from tightfit.training.loop.training_data import Trained, TrainingData, checkpoint_settings
from tightfit.training.network import Network
from tightfit.training.transforms.mask import SMALLEST
from tightfit.training.transforms.sparsity_schedules import SCHEDULES
from tightfit.training.transforms.weight_transforms import Cluster, Mask
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
    settings = checkpoint_settings(request, data, model)
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
        self.words, self.validation = request.words(), data.validation
        self.heads = self._trained(data.heads) if labelled else []
        self.labelled = bool(self.heads)
        self.loss: LabelLoss | None = None
        self.plan: Plan | None = None
        self.notes: list[str] = []

    def _trained(self, given: Sequence[Head] | None) -> list[Head]:
        """The heads that train."""
        outputs = list(output_names(self.teacher))
        self.words.check_outputs(outputs)
        if given is None:
            given = heads_of(
                Network(self.teacher, check=False),
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
            if not self._fit(student, network, (progress.epoch, epochs), checkpoint, listener):
                network = self._network(stage, epochs)
                last = stored_arrays(checkpoint, progress, NOW)
                if progress.epoch:
                    restore(network.variables, itertools.islice(last, len(network.variables)))
                for mask in (t for t in network.transforms if isinstance(t, Mask)):
                    mask.finish()
            if progress.best:
                self._note_best(epochs)
                restore(network.variables, stored_arrays(checkpoint, progress, BEST))
            progress.finish_stage()
            save_progress(checkpoint, progress, {group: arrays_of(network.variables, student)})
        else:
            restore(network.variables, stored_arrays(checkpoint, progress, group))
        self.current, self.plan = export(network)

    def _note_best(self, epochs: int) -> None:
        best = int(self.progress.best["epoch"]) + 1
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
            steps = epochs * max(1, len(self.indices) // request.batch)
            ramps = stage == "prune" or len(request.stages()) == 1
            schedule = SCHEDULES[request.schedule if ramps else "one-shot"]
            transforms.append(Mask(schedule(request.sparsity, steps), request.pattern, request.scope))
        if stage == "finish" and request.clusters is not None:
            transforms.append(Cluster(request.clusters, request.initial, request.per))
        plan = None
        if stage == "finish" and request.scheme is not None:
            plan = self._plan(request.scheme, free=not transforms)
        network = Network(self.current, plan, transforms, ranges=request.ranges)
        if stage == self.request.stages()[0] and request.sparsity is not None:
            self._note_zeros(transforms[0], request.sparsity)
        return network

    def _note_zeros(self, mask: Mask, sparsity: float) -> None:
        """Note what stays dense, and the sparsity of the layers that make up for it."""
        pruned = sum(weight.values.size for weight, _ in mask.sites)
        found = mask.layer_sparsity(sparsity)
        whole = found * pruned / max(mask.counted, 1)
        note = (
            f"Pruned are {len(mask.sites)} tensors with {pruned:,} of the {mask.counted:,} weights in "
            f"tensors of {COUNTED} elements or more, each to {format_percent(found)} zeros, "
            f"which is {format_percent(whole)} of the file; depthwise convolutions and tensors of fewer than "
            f"{SMALLEST} elements stay dense."
        )
        if note not in self.notes:
            self.notes.append(note)

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
        if self.labelled:
            self.loss = loss_for(self.heads, student, self._first, self.words, self._scalars())
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
    ) -> bool:
        """Train from an epoch to another; return False when the loss was not finite."""
        request, (first, last) = self.request, epochs
        targets = None if self.loss is None else self.loss.targets
        weighted = WEIGHT in self._first(1)[0].labels
        batches = Batches(
            self.dataset, self.indices, request.batch, targets=targets, weighted=weighted,
            seed=request.seed, epoch=first, augment=request.augment,
        )  # fmt: skip
        done = first * len(batches)
        updates = UpdateMasks(network, every=max(1, last * len(batches) // _UPDATES), start=done)
        stop = StopAtNaN()
        callbacks = [
            updates,
            stop,
            SaveEachEpoch(checkpoint, self.progress, lambda epoch: updates.settled(epoch * len(batches))),
            _Steps(listener, self.progress.stage, done, (len(batches), last)),
        ]
        # Keras would shuffle the batches differently each time; these are shuffled by seed and epoch.
        student.fit(
            batches, validation_data=self._validating(targets), initial_epoch=first, epochs=last, verbose=0,
            shuffle=False, callbacks=callbacks,
        )  # fmt: skip
        if stop.failed is None:
            return True
        self.notes.append(
            f"The loss became NaN or infinite in epoch {stop.failed + 1}; the weights of the epoch "
            "before were kept. Train with a smaller learning rate."
        )
        return False

    def _validating(self, targets: Any) -> Batches | None:
        if self.validation is None:
            return None
        every = range(len(self.validation))
        return Batches(self.validation, every, self.request.batch, targets=targets, measures=True)


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

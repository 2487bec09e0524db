"""The loss of the labels: of each labelled output, what its label means or the user says decides which."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from tightfit.data.sample import Sample
from tightfit.errors import OptionError
from tightfit.evaluation.labels.label_kinds import CLASS, INPUT, OWN, PLACES, TRAINED, VALUES, Head, Probe
from tightfit.evaluation.labels.read_labels import read_labels
from tightfit.training.losses.label_targets import own_target, target_of
from tightfit.training.losses.loss_words import AUTO, LossWords
from tightfit.training.losses.place_losses import BY_KIND, OF_ONE_UNIT, PLACE_LOSSES
from tightfit.training.network import Network
from tightfit.types import Array

_LOOKED_AT: Final = 100
_POWER: Final = {"mse": 2.0, "input": 2.0, "mae": 1.0}
"""Losses whose unit is a power of the labels' unit: divided by that power of their deviation."""


class LabelLoss:
    """The weighted mean of the losses of the labelled outputs, and the arrays that it takes.

    Without a word of the user classes train by cross-entropy, several classes at once and single units by
    binary cross-entropy, real numbers by ``mean (output − label)² / variance of the labels``, so that outputs
    of different units count alike. A function of the user gets labels and outputs as they are.

    Args:
        heads: what the labels mean; those that do not train are left out.
        shapes: output → shape with a batch of one in front.
        logits: outputs that are followed by no softmax.
        words: what the user says.
    """

    def __init__(
        self,
        heads: Sequence[Head],
        shapes: Mapping[str, tuple[int, ...]],
        logits: Mapping[str, bool],
        words: LossWords | None = None,
    ) -> None:
        self.words = words or LossWords()
        self.heads = [h for h in heads if trains(h, self.words)]
        self.shapes = {name: tuple(abs(d) for d in shape) for name, shape in shapes.items()}
        self.logits = logits
        self.variances = {h.output: 1.0 for h in self.heads}
        self.class_weights: dict[str, Array] = {}

    def look_at(self, samples: Sequence[Sample], scalars: Mapping[str, Array] | None = None) -> None:
        """Take the variance of real labels and the weights of classes from samples.

        Args:
            samples: some of them.
            scalars: the numbers of all samples by key, of labels that are one number each.

        Raises:
            OptionError: classes are weighted, and no output has classes.
        """
        for head in self.heads:
            if head.kind in (VALUES, INPUT) and not callable(self.words.of(head.output)):
                values = np.concatenate([self._target(head, s).reshape(-1) for s in samples])
                self.variances[head.output] = max(float(values.var()), 1e-12)
        if self.words.classes:
            self._weigh_classes(samples, scalars or {})

    def _weigh_classes(self, samples: Sequence[Sample], scalars: Mapping[str, Array]) -> None:
        heads = [h for h in self.heads if h.kind in (CLASS, PLACES) and not callable(self.words.of(h.output))]
        if not heads:
            raise OptionError("Class weights need labels that are classes; the data has none.")
        for head in heads:
            count = max(self._units(head.output), 2)
            weights = np.ones(count, np.float32)
            if isinstance(self.words.classes, str):
                found = np.concatenate([self._target(head, s).reshape(-1) for s in samples])
                if head.key in scalars and head.kind == CLASS:
                    found = np.maximum(scalars[head.key], 0).astype(np.int64)
                counts = np.bincount(found[found >= 0], minlength=count)
                present = counts > 0
                weights[present] = counts.sum() / (present.sum() * counts[present])
            else:
                for number, weight in self.words.classes.items():
                    if number >= count:
                        raise OptionError(
                            f"Received a weight of class {number}; output '{head.output}' has {count}."
                        )
                    weights[number] = weight
            self.class_weights[head.output] = weights

    def targets(self, sample: Sample) -> dict[str, Any]:
        """Return what each labelled output of a sample should be; −1 where a place does not count.

        Raises:
            DataError: a label does not fit its output.
        """
        return {head.output: self._target(head, sample) for head in self.heads}

    def _target(self, head: Head, sample: Sample) -> Any:
        if callable(self.words.of(head.output)):
            return own_target(head, sample)
        return target_of(head, sample, self.shapes[head.output])

    def __call__(self, targets: Mapping[str, Any], outputs: Any, weights: Any = None) -> Any:
        """Return the loss of a batch.

        Args:
            targets: output → what it should be.
            outputs: of the network.
            weights: of the samples, (batch,), or None.
        """
        named = outputs if isinstance(outputs, Mapping) else {next(iter(self.shapes)): outputs}
        given = [(h, self.words.weights.get(h.output, 1.0)) for h in self.heads]
        losses = [weight * self._loss(h, targets[h.output], named, weights) for h, weight in given]
        return sum(losses) / max(sum(weight for _, weight in given), 1e-12)

    def _loss(self, head: Head, target: Any, outputs: Mapping[str, Any], weights: Any) -> Any:
        function = self.words.of(head.output)
        if callable(function):
            only = next(iter(outputs.values())) if len(outputs) == 1 else outputs
            return _own_loss(function, target, outputs[head.output] if head.output else only, weights)
        units, places = self._units(head.output), self._places(head.output)
        rows = ops.cast(ops.reshape(outputs[head.output], (-1, places, units)), "float32")
        name = self._name(head, str(function))
        if head.kind in (CLASS, PLACES):
            target = ops.reshape(target, (-1, places))
            counted = ops.cast(target >= 0, "float32")
            factors = counted * self._factors(head, target)
        else:
            target = ops.reshape(ops.cast(target, "float32"), (-1, places, units))
            counted = factors = ops.ones_like(rows[:, :, 0])
        if name.startswith("binary") and head.kind in (CLASS, PLACES):
            target = ops.expand_dims(ops.cast(target, "float32"), -1)
        losses = PLACE_LOSSES[name](rows, target, self._are_logits(head, name))
        if weights is not None:
            factors = factors * ops.reshape(ops.cast(weights, "float32"), (-1, 1))
        total = ops.sum(losses * factors) / ops.maximum(ops.sum(counted), 1.0)
        return total / self.variances[head.output] ** (_POWER.get(name, 0.0) / 2)

    def _name(self, head: Head, said: str) -> str:
        name = BY_KIND[head.kind] if said == AUTO else said
        return OF_ONE_UNIT.get(name, name) if self._units(head.output) == 1 else name

    def _are_logits(self, head: Head, name: str) -> bool:
        if name.startswith("binary") or name == "ordinal":
            return not head.options.get("inside", True)
        return self.logits.get(head.output, True) and not head.options.get("probabilities", False)

    def _factors(self, head: Head, classes: Any) -> Any:
        table = self.class_weights.get(head.output)
        return 1.0 if table is None else ops.take(table, ops.maximum(classes, 0), axis=0)

    def _units(self, output: str) -> int:
        shape = self.shapes[output]
        return max(shape[-1], 1) if len(shape) > 1 else 1

    def _places(self, output: str) -> int:
        return max(math.prod(self.shapes[output]) // self._units(output), 1)


def trains(head: Head, words: LossWords) -> bool:
    """Return whether a training learns from the labels of an output."""
    loss = words.of(head.output)
    return callable(loss) or (loss != "none" and head.kind in TRAINED)


def _own_loss(function: Callable[..., Any], target: Any, outputs: Any, weights: Any) -> Any:
    """The loss of a function of the user: one number, or one a sample or place."""
    if isinstance(function, keras.losses.Loss):
        return function(target, outputs, sample_weight=weights)
    loss = ops.cast(ops.convert_to_tensor(function(target, outputs)), "float32")
    if not loss.shape:
        return loss
    rows = ops.mean(ops.reshape(loss, (loss.shape[0], -1)), axis=-1) if len(loss.shape) > 1 else loss
    return ops.mean(rows if weights is None else rows * ops.cast(weights, "float32"))


def own_heads(heads: Sequence[Head], words: LossWords, outputs: Sequence[str]) -> list[Head]:
    """Return the heads with one for each output that only a function of the user reads."""
    known = {head.output for head in heads}
    said = [n for n in outputs if callable(words.losses.get(n))]
    if callable(words.losses.get("")) and not known:
        said = said or [""]
    return [*heads, *(Head(name, OWN, "") for name in said if name not in known)]


def heads_of(
    teacher: Network,
    samples: Sequence[Sample],
    scalars: Mapping[str, Array],
    kinds: Mapping[str, str] | None = None,
) -> list[Head]:
    """Return what labels mean, from the answers of a float network to a few samples.

    Args:
        teacher: the float network.
        samples: a few, with their labels.
        scalars: the numbers of all samples by the labels' names.
        kinds: output → kind that the user says.

    Raises:
        DataError: a label fits no output.
    """
    probes = []
    for sample in samples:
        named = {n: np.asarray(sample.inputs[n]) for n in teacher.input_tensors}
        values = teacher.tensors(named, list(teacher.output_tensors.values()), rounded=False)
        shaped = {
            name: np.asarray(ops.convert_to_numpy(value)).reshape([abs(d) for d in tensor.shape])
            for (name, tensor), value in zip(teacher.output_tensors.items(), values, strict=True)
        }
        probes.append(Probe(sample.label, shaped, sample.labels, sample.whole))
    return read_labels(probes, scalars, None, kinds).heads


def loss_for(
    heads: Sequence[Head],
    student: Any,
    samples: Callable[[int], Sequence[Sample]],
    words: LossWords | None = None,
    scalars: Mapping[str, Array] | None = None,
) -> LabelLoss | None:
    """Return the loss of the labels for a ``Distillation``; None where no label trains.

    Args:
        heads: what the labels mean.
        student: its network's outputs, and which of them come from a softmax.
        samples: called with how many to look at.
        words: what the user says.
        scalars: the numbers of all samples by the labels' names.
    """
    outputs = student.student.output_tensors
    logits = {name: not decides for name, decides in zip(outputs, student.decides, strict=True)}
    loss = LabelLoss(heads, {name: t.shape for name, t in outputs.items()}, logits, words)
    if not loss.heads:
        return None
    loss.look_at(samples(_LOOKED_AT), scalars)
    return loss

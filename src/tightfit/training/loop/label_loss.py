"""The loss of each labelled output: what its label means decides which."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from keras import ops

from tightfit.data.sample import Label, Sample
from tightfit.evaluation.labels import INPUT, SEVERAL, TRAINED, VALUES, Head, Probe, read_labels
from tightfit.evaluation.metrics.classes import class_labels
from tightfit.training.network import Network
from tightfit.types import Array

_LEAST: Final = 1e-7
_LOOKED_AT: Final = 100


class LabelLoss:
    """The sum of the losses of the labelled outputs, and the arrays that it takes.

    Classes train by cross-entropy, several classes at once and single units by binary cross-entropy, real
    numbers by ``mean (output − label)² / variance of the labels``, so that outputs of different units count
    alike.

    Args:
        heads: what the labels mean; those that do not train are left out.
        shapes: output → shape with a batch of one in front.
        logits: outputs that are followed by no softmax.
    """

    def __init__(
        self, heads: Sequence[Head], shapes: Mapping[str, tuple[int, ...]], logits: Mapping[str, bool]
    ) -> None:
        self.heads = [h for h in heads if h.kind in TRAINED and h.output in shapes]
        self.shapes = {h.output: tuple(abs(d) for d in shapes[h.output]) for h in self.heads}
        self.logits = logits
        self.variances = dict.fromkeys(self.shapes, 1.0)

    def look_at(self, samples: Sequence[Sample]) -> None:
        """Takes the variance of real labels from samples."""
        for head in self.heads:
            if head.kind in (VALUES, INPUT):
                values = np.concatenate([self._values(head, s).reshape(-1) for s in samples])
                self.variances[head.output] = max(float(values.var()), 1e-12)

    def targets(self, sample: Sample) -> dict[str, Array]:
        """Return what each labelled output of a sample should be; −1 where a place does not count.

        Raises:
            DataError: a label does not fit its output.
        """
        return {head.output: self._target(head, sample) for head in self.heads}

    def _target(self, head: Head, sample: Sample) -> Array:
        if head.kind in (VALUES, INPUT):
            return self._values(head, sample)
        label = _label(head, sample)
        if head.kind == SEVERAL:
            return np.asarray(label, np.float32).reshape(-1)
        template = np.broadcast_to(np.float32(0), self.shapes[head.output])
        classes = class_labels(label, template)
        if head.options.get("signs"):
            classes = (classes > 0).astype(np.int64)
        return np.where(np.isin(classes, head.options.get("ignored", ())), -1, classes).astype(np.int32)

    def _values(self, head: Head, sample: Sample) -> Array:
        given = next(iter(sample.inputs.values())) if head.kind == INPUT else _label(head, sample)
        return np.asarray(given, np.float32).reshape(-1)

    def __call__(self, targets: Mapping[str, Any], outputs: Any) -> Any:
        """Return the loss of a batch."""
        named = outputs if isinstance(outputs, Mapping) else {next(iter(self.shapes)): outputs}
        losses = [self._loss(head, targets[head.output], named[head.output]) for head in self.heads]
        return sum(losses) / len(losses)

    def _loss(self, head: Head, target: Any, output: Any) -> Any:
        shape = self.shapes[head.output]
        units = shape[-1] if len(shape) > 1 else 1
        places = max(math.prod(shape) // max(units, 1), 1)
        rows = ops.cast(ops.reshape(output, (-1, places, units)), "float32")
        if head.kind in (VALUES, INPUT):
            wanted = ops.reshape(ops.cast(target, "float32"), (-1, places, units))
            return ops.mean(ops.square(rows - wanted)) / self.variances[head.output]
        if head.kind == SEVERAL or units == 1:
            wanted = ops.reshape(ops.cast(target, "float32"), (-1, places, units))
            return _binary(rows, wanted, logits=not head.options.get("inside", True))
        logits = self.logits.get(head.output, True) and not head.options.get("probabilities", False)
        return _classes(rows, ops.reshape(target, (-1, places)), logits=logits)


def _label(head: Head, sample: Sample) -> Label:
    label = sample.labels.get(head.key) if head.key else sample.label
    assert label is not None  # noqa: S101 - the head was read from labels that all samples have
    return label


def _classes(rows: Any, classes: Any, *, logits: bool) -> Any:
    """The mean cross-entropy over the places that count."""
    logs = ops.log_softmax(rows, axis=-1) if logits else ops.log(ops.clip(rows, _LEAST, 1.0))
    counted = ops.cast(classes >= 0, "float32")
    chosen = ops.one_hot(ops.maximum(classes, 0), rows.shape[-1], dtype="float32")
    surprise = -ops.sum(chosen * logs, axis=-1) * counted
    return ops.sum(surprise) / ops.maximum(ops.sum(counted), 1.0)


def _binary(rows: Any, wanted: Any, *, logits: bool) -> Any:
    """The mean binary cross-entropy over the entries that count."""
    counted = ops.cast(wanted >= 0, "float32")
    wanted = ops.maximum(wanted, 0.0)
    if logits:
        surprise = ops.softplus(rows) - wanted * rows
    else:
        inside = ops.clip(rows, _LEAST, 1.0 - _LEAST)
        surprise = -(wanted * ops.log(inside) + (1.0 - wanted) * ops.log(1.0 - inside))
    return ops.sum(surprise * counted) / ops.maximum(ops.sum(counted), 1.0)


def heads_of(teacher: Network, samples: Sequence[Sample], scalars: Mapping[str, Array]) -> list[Head]:
    """Return what labels mean, from the answers of a float network to a few samples.

    Args:
        teacher: the float network.
        samples: a few, with their labels.
        scalars: the numbers of all samples by the labels' names.

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
        probes.append(Probe(sample.label, shaped, sample.labels, sample.inputs))
    return read_labels(probes, scalars).heads


def loss_for(
    heads: Sequence[Head], student: Any, samples: Callable[[int], Sequence[Sample]]
) -> LabelLoss | None:
    """Return the loss of the labels for a ``Distillation``; None where no label trains.

    Args:
        heads: what the labels mean.
        student: its network's outputs, and which of them come from a softmax.
        samples: called with how many to look at.
    """
    outputs = student.student.output_tensors
    logits = {name: not decides for name, decides in zip(outputs, student.decides, strict=True)}
    loss = LabelLoss(heads, {name: t.shape for name, t in outputs.items()}, logits)
    if not loss.heads:
        return None
    loss.look_at(samples(_LOOKED_AT))
    return loss

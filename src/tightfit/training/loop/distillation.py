"""Training with a teacher: the float graph shows the network what to give, with labels or without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import keras
from keras import ops

from tightfit.errors import OptionError
from tightfit.graph.ir import Op, Tensor
from tightfit.training.network import Network

RESIDUAL: Final = "residual"
"""Stands for the ends of residual blocks among the names of features."""


class Distillation(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Trains a network towards the float outputs of another; ``fit`` it with inputs, and labels if there are.

    The loss is ``(1 - share) · Σ distance(teacher, student) + share · loss(label, output)``, with the share
    of the labels; ``distance`` is taken of the outputs before their softmax and of the chosen features.

    Args:
        student: a ``Network``; its variables are trained.
        teacher: a ``Network`` of the same float graph.
        features: keys of inner tensors to compare too; ``residual`` stands for the sums of two activations.
        feature_weight: what they count together.
        temperature: logits are divided by it before they are compared as probabilities.
        labels_share: how much the loss given to ``compile`` counts; 0 needs no labels.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network".

    Raises:
        OptionError: a feature is no tensor of the graph, or a share lies outside of [0, 1].
    """

    def __init__(
        self, student: Network, teacher: Network, features: Sequence[str] = (), *,
        feature_weight: float = 1.0, temperature: float = 1.0, labels_share: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 0.0 <= labels_share <= 1.0:
            raise OptionError(f"The share of the labels is from 0 to 1; received {labels_share:g}.")
        self.student, self.teacher = student, teacher
        self.teacher.trainable = False
        self.feature_weight, self.labels_share, self.temperature = feature_weight, labels_share, temperature
        ends = [_logits(t) for t in student.output_tensors.values()]
        self.decides = [
            logits is not end for logits, end in zip(ends, student.output_tensors.values(), strict=True)
        ]
        inner, outer = ends + _find(student, features), _twins(student, teacher, ends, features)
        # A student that has lost channels shows only what it still has all channels of.
        alike = [i for i, (s, t) in enumerate(zip(inner, outer, strict=True)) if s.shape == t.shape]
        self.wanted = [[tensors[i] for i in alike] for tensors in (inner, outer)]
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: both networks have their variables."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the student's outputs."""
        return self.student(inputs, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        """Return the loss of one batch."""
        loss = self.taught(x, training=training) * (1.0 - self.labels_share)
        if self.labels_share > 0.0:
            if y is None:
                raise OptionError(
                    "The labels are to count, but the data has none. Give labels, or a share of 0."
                )
            labelled = super().compute_loss(x, y, y_pred, sample_weight, training)
            loss = loss + labelled * self.labels_share
        return loss

    def taught(self, x: Any, *, training: bool) -> Any:
        """Return the distance between what the teacher and the student make of a batch."""
        inner, outer = self.wanted
        shown = self.teacher.tensors(x, outer, rounded=False)
        given = self.student.tensors(x, inner, training=training)
        total = 0.0
        for i, (wanted, found) in enumerate(zip(shown, given, strict=True)):
            wanted, found = ops.stop_gradient(ops.cast(wanted, "float32")), ops.cast(found, "float32")  # noqa: PLW2901
            if i < len(self.decides):
                total = total + self.distance(wanted, found, decides=self.decides[i])
            else:
                share = self.feature_weight / max(len(inner) - len(self.decides), 1)
                total = total + share * relative_error(wanted, found)
        return total

    def distance(self, wanted: Any, found: Any, *, decides: bool) -> Any:
        """Return the divergence of probabilities where the output is a decision, else the relative error."""
        if not decides:
            return relative_error(wanted, found)
        target = ops.log_softmax(wanted / self.temperature, axis=-1)
        given = ops.log_softmax(found / self.temperature, axis=-1)
        return ops.mean(ops.sum(ops.exp(target) * (target - given), axis=-1)) * self.temperature**2


def residual_sums(network: Network) -> list[str]:
    """Return the keys of the sums of two activations: where the blocks of residual networks end."""
    graph = network.source.main
    keys = graph.keys()
    varying = network.program.varying
    return [
        keys[op.outputs[0]]
        for op in graph.ops
        if op.kind == "ADD" and all(t in varying for t in op.inputs) and op.outputs[0] not in graph.outputs
    ]


def relative_error(wanted: Any, found: Any) -> Any:
    """Return ``mean (wanted - found)² / mean wanted²``."""
    return ops.mean(ops.square(wanted - found)) / (ops.mean(ops.square(wanted)) + 1e-12)


def _logits(end: Tensor) -> Tensor:
    """What a softmax at the end of the graph is taken of; other ends are compared as they are."""
    producer: Op | None = end.producer
    source = None if producer is None or producer.kind != "SOFTMAX" else producer.inputs[0]
    return end if source is None or source.is_constant else source


def _find(network: Network, features: Sequence[str]) -> list[Tensor]:
    keys: Mapping[str, Tensor] = {
        key: t for t, key in network.source.main.keys().items() if t.producer is not None
    }
    features = [key for name in features for key in (residual_sums(network) if name == RESIDUAL else [name])]
    unknown = [name for name in features if name not in keys]
    if unknown:
        raise OptionError(
            f"The graph computes no tensor '{unknown[0]}'. Take a name that 'tightfit inspect' prints."
        )
    return [keys[name] for name in features]


def _twins(student: Network, teacher: Network, ends: list[Tensor], features: Sequence[str]) -> list[Tensor]:
    """The teacher's tensors of the student's names."""
    keys = student.source.main.keys()
    return _find(teacher, [keys[t] for t in ends]) + _find(teacher, features)

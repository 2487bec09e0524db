"""Knowledge distillation: train a network to match the outputs of the float graph, with or without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import keras
from keras import ops

from tightfit.errors import OptionError
from tightfit.graph.ir import Op, Tensor
from tightfit.training.network import Network
from tightfit.training.transforms.mask_updates import with_mask_updates

RESIDUAL: Final = "residual"
"""Feature name for the outputs of all residual blocks."""


class Distillation(keras.Model):  # type: ignore[misc]  # Keras has no types
    """A Keras model that trains a student towards the outputs of a teacher; ``fit`` takes inputs and labels.

    The loss is ``(1 - share) · Σ distance(teacher, student) + share · loss(label, output)`` with ``share`` =
    ``labels_share``. ``distance`` is computed on the outputs before their softmax and on the features.

    Args:
        student: a ``Network``; its variables are trained.
        teacher: a ``Network`` of the same float graph.
        features: keys of intermediate tensors to match too; ``residual`` means all sums of two activations.
        feature_weight: weight of all features together.
        temperature: divisor of the logits before the softmax.
        labels_share: weight of the label loss, 0–1; 0 needs no labels. The loss is ``label_loss`` where that
            is set, called with (labels, outputs), else the one given to ``compile``.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network".

    Raises:
        OptionError: a feature is not a tensor of the graph, or ``labels_share`` is outside of [0, 1].
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
        inner, outer = ends + _find(student, features), _twins(student, teacher, features)
        # A pruned student has only some features with all channels.
        alike = [i for i, (s, t) in enumerate(zip(inner, outer, strict=True)) if s.shape == t.shape]
        self.wanted = [[tensors[i] for i in alike] for tensors in (inner, outer)]
        self.label_loss: Any = None
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: the variables of both networks exist already."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the student's outputs."""
        return self.student(inputs, training=training)

    def fit(self, *args: Any, **options: Any) -> Any:
        """Train as any Keras model; masks of the student follow their schedules without a callback."""
        return super().fit(*args, **with_mask_updates(self.student, options))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        """Return the loss of one batch."""
        loss = self.taught(x, training=training) * (1.0 - self.labels_share)
        if self.labels_share > 0.0:
            if y is None:
                raise OptionError(
                    "The label loss needs labels, but the data has none. Give labels, or labels_share=0."
                )
            if self.label_loss is not None:
                labelled = self.label_loss(y, y_pred, sample_weight)
            else:
                labelled = super().compute_loss(x, y, y_pred, sample_weight, training)
            loss = loss + labelled * self.labels_share
        return loss

    def taught(self, x: Any, *, training: bool) -> Any:
        """Return the distance between the tensors of teacher and student for a batch."""
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
        """Return the KL divergence of class probabilities, or the relative error of other outputs.

        Args:
            wanted: the teacher's tensor.
            found: the student's tensor.
            decides: whether the tensor is a vector of logits.
        """
        if not decides:
            return relative_error(wanted, found)
        target = ops.log_softmax(wanted / self.temperature, axis=-1)
        given = ops.log_softmax(found / self.temperature, axis=-1)
        return ops.mean(ops.sum(ops.exp(target) * (target - given), axis=-1)) * self.temperature**2


def residual_sums(network: Network) -> list[str]:
    """Return the keys of the sums of two activations, which are the outputs of residual blocks."""
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
    """The input of a final SOFTMAX; other outputs unchanged."""
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


def _twins(student: Network, teacher: Network, features: Sequence[str]) -> list[Tensor]:
    """Return the teacher's outputs before their softmax, in the student's order, and its features."""
    return [_logits(t) for t in _matching_outputs(student, teacher)] + _find(teacher, features)


def _matching_outputs(student: Network, teacher: Network) -> list[Tensor]:
    """Return the teacher's outputs in the student's order: by name where all names agree, else by place.

    Raises:
        OptionError: the numbers or the shapes of the outputs differ.
    """
    ours, theirs = student.output_tensors, teacher.output_tensors
    found = [theirs[n] for n in ours] if set(ours) == set(theirs) else list(theirs.values())
    shapes = [tuple(t.shape) for t in ours.values()], [tuple(t.shape) for t in found]
    if shapes[0] != shapes[1]:
        raise OptionError(
            f"The teacher has outputs of the shapes {_listed(shapes[1])}, the model {_listed(shapes[0])}; "
            "give a teacher with the same outputs."
        )
    return found


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in shapes) or "none"

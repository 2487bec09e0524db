"""Knowledge distillation: train a network to match the outputs of float graphs, with or without labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import keras
from keras import ops

from tightfit.errors import OptionError
from tightfit.graph.ir import Tensor
from tightfit.training.loop.lessons import Lesson, before_softmax
from tightfit.training.network import Network, without_ones
from tightfit.training.transforms.mask_updates import with_mask_updates

_SHARPNESS: Final = 6.0
"""Power of the ratio of two label losses: a tenth less loss halves a weight."""
_LEAST_LOSS: Final = 1e-6


class Distillation(keras.Model):  # type: ignore[misc]  # Keras has no types
    """A Keras model that trains a student towards the outputs of teachers; ``fit`` takes inputs and labels.

    The loss is ``(1 - share) · Σ distance(teacher, student) + share · loss(label, output)``. ``distance`` is
    computed on the outputs before their softmax and on the features. The share is ``labels_share``, or with
    ``measured`` it follows the loss of the labels under the teacher and under the student, batch by batch:

        share / (1 - share) = labels_share / (1 - labels_share) · (loss of teacher / loss of student) ** 6

    so a teacher that knows the labels less well than its student counts less; validation keeps
    ``labels_share``, so that epochs compare. Several teachers count by ``loss ** -6``, or alike without
    labels.

    Args:
        student: a ``Network``; its variables are trained.
        teacher: a ``Network`` of the same float graph, or of another with the same outputs; or several.
        features: keys of intermediate tensors to match too; ``residual`` means all sums of two activations.
            Another graph has its feature under the same key, as ``ours=theirs``, or by its shape.
        feature_weight: weight of all features together.
        temperature: divisor of the logits before the softmax.
        labels_share: weight of the label loss, 0–1; 0 needs no labels. The loss is ``label_loss`` where that
            is set, called with (labels, outputs), else the one given to ``compile``.
        measured: whether the share follows the losses; it needs ``label_loss``.
        outputs: the student's output → the teachers', where names and places do not decide.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network". Departure: the
    share is measured.

    Raises:
        OptionError: a feature is not a tensor of the graph, outputs differ, or ``labels_share`` is outside of
            [0, 1].
    """

    def __init__(  # noqa: PLR0913 - the options of one loss
        self, student: Network, teacher: Network | Sequence[Network], features: Sequence[str] = (), *,
        feature_weight: float = 1.0, temperature: float = 1.0, labels_share: float = 0.0,
        measured: bool = False, outputs: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 0.0 <= labels_share <= 1.0:
            raise OptionError(f"The share of the labels is from 0 to 1; received {labels_share:g}.")
        self.student = student
        self.teachers = [teacher] if isinstance(teacher, Network) else list(teacher)
        for each in self.teachers:
            each.trainable = False
        self.feature_weight, self.labels_share, self.temperature = feature_weight, labels_share, temperature
        self.measured = measured
        self.lessons = [Lesson(student, each, features, outputs) for each in self.teachers]
        self.decides = [before_softmax(t) is not t for t in student.output_tensors.values()]
        self.label_loss: Any = None
        self.inner = list(dict.fromkeys(t for lesson in self.lessons for t in lesson.wanted[0]))
        self.last = _Pass()
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: the variables of both networks exist already."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the student's outputs, and keep what the lessons compare for the loss of this batch."""
        ends = self.student.output_tensors
        if not self.inner or self.student.compute_dtype != "float32":
            return self.student(inputs, training=training)
        values = self.student.tensors(inputs, [*ends.values(), *self.inner], training=bool(training))
        outputs = self.student.named_outputs(values[: len(ends)])
        self.last = _Pass(outputs, dict(zip(self.inner, values[len(ends) :], strict=True)))
        return outputs

    def fit(self, *args: Any, **options: Any) -> Any:
        """Train as any Keras model; masks of the student follow their schedules without a callback."""
        return super().fit(*args, **with_mask_updates(self.student, options))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        """Return the loss of one batch."""
        given = self.last.tensors if y_pred is not None and self.last.outputs is y_pred else None
        self.last = _Pass()  # torch would hold the graph of the batch
        labelled = self._labelled(x, y, y_pred, sample_weight, training) if self.labels_share > 0.0 else None
        if self.labels_share >= 1.0:
            return labelled
        if labelled is None:
            return self.taught(x, training=training, given=given)
        if not (training and self.measured) or self.label_loss is None:
            taught = self.taught(x, training=training, given=given)
            return labelled * self.labels_share + taught * (1.0 - self.labels_share)
        found = [self._lesson(x, lesson, training=training, given=given) for lesson in self.lessons]
        losses = [ops.stop_gradient(self.label_loss(y, outputs, sample_weight)) for _, outputs in found]
        share, weights = weigh(labelled, losses, self.labels_share)
        taught = sum(weight * distance for weight, (distance, _) in zip(weights, found, strict=True))
        return labelled * share + taught * (1.0 - share)

    def _labelled(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        """The loss of the labels."""
        if y is None:
            raise OptionError(
                "The label loss needs labels, but the data has none. Give labels, or labels_share=0."
            )
        if self.label_loss is not None:
            return self.label_loss(y, y_pred, sample_weight)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def taught(self, x: Any, *, training: bool, given: Mapping[Tensor, Any] | None = None) -> Any:
        """Return the mean distance from the teachers for a batch.

        Args:
            x: inputs of the batch.
            training: whether the student is in training.
            given: the student's tensors for this batch; None computes them.
        """
        found = [self._lesson(x, lesson, training=training, given=given)[0] for lesson in self.lessons]
        return sum(found) / len(found)

    def _lesson(
        self, x: Any, lesson: Lesson, *, training: bool, given: Mapping[Tensor, Any] | None
    ) -> tuple[Any, dict[str, Any]]:
        """The distance between the tensors of one teacher and of the student, and the teacher's outputs."""
        inner, outer = lesson.wanted
        ends = list(lesson.outputs.values())
        shown = lesson.teacher.tensors(x, [*outer, *ends], rounded=False)
        own = [given[t] for t in inner] if given else self.student.tensors(x, inner, training=training)
        total = 0.0
        for i, (wanted, found) in enumerate(zip(shown, own, strict=False)):
            wanted, found = ops.stop_gradient(ops.cast(wanted, "float32")), ops.cast(found, "float32")  # noqa: PLW2901
            if i < len(lesson.decides):
                total = total + self.distance(wanted, found, decides=lesson.decides[i])
            else:
                share = self.feature_weight / max(len(inner) - len(lesson.decides), 1)
                total = total + share * relative_error(wanted, found)
        outputs = dict(zip(lesson.outputs, map(without_ones, shown[len(outer) :]), strict=True))
        return total, outputs

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


class _Pass:
    """The last forward pass of a student; two passes would be differentiated twice.

    Args:
        outputs: what the call returned.
        tensors: the values that the lessons compare.
    """

    def __init__(self, outputs: Any = None, tensors: Mapping[Tensor, Any] | None = None) -> None:
        self.outputs, self.tensors = outputs, tensors


def weigh(labelled: Any, losses: Sequence[Any], share: float) -> tuple[Any, list[Any]]:
    """Return the share of the labels and the weights of the teachers, which sum to 1.

    Args:
        labelled: loss of the labels under the student.
        losses: loss of the labels under each teacher.
        share: of the labels where student and teacher have the same loss.

    Example:
        >>> share, weights = weigh(1.0, [1.0, 2.0], 0.5)
        >>> round(float(share), 2), [round(float(w), 2) for w in weights]
        (0.5, [0.98, 0.02])
    """
    known = [ops.maximum(ops.cast(loss, "float32"), _LEAST_LOSS) for loss in losses]
    logs = ops.stack([-_SHARPNESS * ops.log(loss) for loss in known])
    weights = ops.softmax(logs) if len(known) > 1 else ops.ones_like(logs)
    best = -ops.max(logs) / _SHARPNESS
    student = ops.log(ops.maximum(ops.stop_gradient(ops.cast(labelled, "float32")), _LEAST_LOSS))
    odds = math.log(share / (1.0 - share)) + _SHARPNESS * (best - student)
    return ops.sigmoid(odds), [weights[i] for i in range(len(known))]


def relative_error(wanted: Any, found: Any) -> Any:
    """Return ``mean (wanted - found)² / mean wanted²``."""
    return ops.mean(ops.square(wanted - found)) / (ops.mean(ops.square(wanted)) + 1e-12)

"""What the models are asked to be good at: the metric, the output that it scores, how outputs decide.

Read from the labels and from the reference's first answers; anything that does not fit together is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tightfit.data.sample import Label, shape_text
from tightfit.errors import DataError, unknown_name
from tightfit.evaluation.metrics import METRICS, Answer, Metric, class_labels
from tightfit.evaluation.slices.quality import LOST_DECIDED_DB
from tightfit.types import Array

_SUM_TOLERANCE = 0.02  # softmax in int8 steps of 1/256 still sums to one within this for a few classes

Probe = tuple[Label | None, Mapping[str, Array]]


@dataclass(frozen=True)
class Task:
    """The decision: the metric and its arguments; ``metric`` is None for a user's own function.

    Args:
        output: the output that labels belong to.
        decided: outputs whose largest entry is a decision; empty when nothing is decided.
        threshold: above it, a single unit decides for class 1.
    """

    metric: Metric | None
    output: str
    decided: tuple[str, ...] = ()
    threshold: float = 0.5

    def lost_db(self) -> dict[str, float]:
        """Return, for outputs whose decisions or labels are scored, below how many dB a slice is lost."""
        scored = (self.output,) if self.metric is None or self.metric.needs_labels else ()
        return dict.fromkeys((*self.decided, *scored), LOST_DECIDED_DB)

    def answer(
        self, outputs: Mapping[str, Array], reference: Mapping[str, Array], label: Label | None
    ) -> Answer:
        """One sample's answer as the metrics take it."""
        return Answer(outputs, reference, label, self.output, self.decided, self.threshold)


def choose_task(metric: str, probes: Sequence[Probe], labels: Array | None = None) -> Task:
    """The task that the metric's name asks for, or for ``auto`` the one that labels and outputs show.

    ``auto`` is ``top1`` for labels that name classes (numbers, one-hot vectors, maps), ``mae`` for labels of
    as many real numbers as the output has, and without labels ``agreement`` when the outputs are
    probabilities of classes, else ``cosine``.

    Args:
        metric: a name of ``METRICS``, ``auto`` or ``module:function``; ``top1@name`` scores that output
            instead of the first.
        probes: label and reference outputs of the first samples.
        labels: the numbers of all samples, where labels are numbers.

    Raises:
        DataError: for an unknown name, or labels that do not belong to the output.
    """
    name, _, wanted = metric.partition("@")
    label, outputs = probes[0]
    output = wanted or next(iter(outputs))
    if output not in outputs:
        raise DataError(unknown_name("output", output, outputs))
    if ":" in name:
        return Task(None, output)
    if name == "auto":
        name = _automatic(label, outputs[output], labels, _scores_classes(probes, output))
    if name not in METRICS:
        raise DataError(unknown_name("metric", name, [*METRICS, "auto"]))
    if METRICS[name].needs_labels and label is None:
        raise DataError(
            f"The metric '{name}' needs labels, and the data has none. Pass some, or use 'agreement'."
        )
    if name.startswith("top") and label is not None:
        class_labels(label, outputs[output])
        _check_range(labels, outputs[output], output)
    return Task(METRICS[name], output, _decided(name, probes, output), _threshold(probes, output))


def _automatic(label: Label | None, output: Array, labels: Array | None, scores_classes: bool) -> str:
    if label is None:
        return "agreement" if scores_classes else "cosine"
    if _units(output) == 1 and labels is not None:
        return "top1" if set(np.unique(labels)) <= {0, 1} else "mae"
    if np.asarray(label).size == output.size and not _is_one_hot(label, output):
        return "mae"
    return "top1"


def _is_one_hot(label: Label, output: Array) -> bool:
    values = np.asarray(label).reshape(-1)
    return values.size == output.shape[-1] > 1 and sorted(values) == [0] * (values.size - 1) + [1]


def _units(output: Array) -> int:
    return output.shape[-1] if output.ndim else 1


def _decided(name: str, probes: Sequence[Probe], output: str) -> tuple[str, ...]:
    """Outputs that decide: those that are probabilities, and the one that a metric of decisions scores."""
    outputs = probes[0][1]
    found = [key for key in outputs if _scores_classes(probes, key)]
    if name.startswith("top") and output not in found:
        found.append(output)
    if name == "agreement" and not found:
        found = [key for key, array in outputs.items() if _units(array) > 1] or list(outputs)
    return tuple(found)


def _scores_classes(probes: Sequence[Probe], name: str) -> bool:
    """True when every answer is a softmax over two classes or more: no negative entries, a sum of one."""
    for _, outputs in probes:
        array = outputs[name]
        if _units(array) < 2 or array.min() < 0:
            return False
        if (np.abs(array.sum(axis=-1) - 1) > _SUM_TOLERANCE).any():
            return False
    return True


def _threshold(probes: Sequence[Probe], output: str) -> float:
    """0.5 for a sigmoid's output; 0 when the reference leaves 0 to 1, so that its outputs are logits."""
    inside = all(((outputs[output] >= 0) & (outputs[output] <= 1)).all() for _, outputs in probes)
    return 0.5 if inside else 0.0


def _check_range(labels: Array | None, output: Array, name: str) -> None:
    classes = max(_units(output), 2)
    if labels is None:
        return
    low, high, outside = labels.min(), labels.max(), int(((labels < 0) | (labels >= classes)).sum())
    if outside:
        hint = " The labels seem to start at 1: subtract one." if low == 1 and high == classes else ""
        raise DataError(
            f"{outside} of {len(labels)} labels lie outside of the {classes} classes of output '{name}' "
            f"(shape {shape_text(output.shape)}): they are {low} to {high}, not 0 to {classes - 1}.{hint}"
        )

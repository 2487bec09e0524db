"""How good one answer is: a table of metrics, each a function of one sample's outputs, reference and label.

A metric is one function and one row of ``METRICS``. Which one a task needs is ``task``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tightfit.data.sample import Label, shape_text
from tightfit.errors import DataError
from tightfit.types import Array

MOST_DB = 200.0  # float32 resolves 150 dB: two outputs that are this close are equal


@dataclass(frozen=True)
class Answer:
    """What a model says to one sample, beside what the reference says.

    Args:
        outputs, reference: output name → float array, integers already dequantized.
        label: of the sample, or None.
        output: the name of the output that is scored against the label.
        decided: the names of the outputs whose largest entry is a decision.
        threshold: above it, an output of one unit decides for class 1.
    """

    outputs: Mapping[str, Array]
    reference: Mapping[str, Array]
    label: Label | None
    output: str
    decided: tuple[str, ...] = ()
    threshold: float = 0.5


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Args:
        score: one number for one sample.
        summary: what the mean over the samples is.
        needs_labels: False when it compares with the reference's outputs.
        higher_is_better: False for errors.
        perfect: what the reference scores against itself; None when it does not compare, or has no bound.
        best: what no sample's score is better than, or None.
    """

    name: str
    score: Callable[[Answer], float]
    summary: str
    needs_labels: bool = True
    higher_is_better: bool = True
    perfect: float | None = None
    best: float | None = None


def class_labels(label: Label, output: Array) -> Array:
    """The class at each decision of an output: from a number, a one-hot vector, or a map of classes.

    Raises:
        DataError: when the label has another shape, or is not a class.

    Example:
        >>> class_labels(2, np.zeros((1, 10))), class_labels(np.array([0, 1.0, 0]), np.zeros((1, 3)))
        (array([2]), array([1]))
    """
    classes = output.shape[-1] if output.ndim else 1
    decisions = output.size // max(classes, 1)
    values = np.asarray(label).reshape(-1)
    if values.size == classes > 1 and decisions == 1:
        if sorted(values) != [0] * (classes - 1) + [1]:
            raise DataError(
                f"A label of {classes} numbers is not one-hot ({values[:4]} …). Pass class indices, "
                "or name a metric for real numbers such as mae."
            )
        return np.array([int(values.argmax())])
    if values.size != decisions or (values != np.floor(values)).any():
        raise DataError(
            f"A label of shape {shape_text(np.shape(label))} does not name the classes of an output of shape "
            f"{shape_text(output.shape)}. Expected {decisions} class indices; or another metric."
        )
    return values.astype(np.int64)


def decisions(output: Array, threshold: float = 0.5) -> Array:
    """The class of each decision: the largest entry, or whether a single unit is over a threshold."""
    if output.ndim and output.shape[-1] > 1:
        return np.asarray(output.reshape(-1, output.shape[-1]).argmax(axis=1))
    return np.asarray((output.reshape(-1) > threshold).astype(np.int64))


def _top(k: int) -> Callable[[Answer], float]:
    """The share of labels among the k largest scores; of equal scores the lower class comes first."""

    def score(answer: Answer) -> float:
        output = answer.outputs[answer.output]
        assert answer.label is not None  # noqa: S101 - choose_task refuses data without labels
        labels = class_labels(answer.label, output)
        if not output.ndim or output.shape[-1] == 1:
            return float((decisions(output, answer.threshold) == labels).mean())
        rows = output.reshape(-1, output.shape[-1])
        if labels.min() < 0 or labels.max() >= rows.shape[1]:
            raise DataError(
                f"The label {labels.max() if labels.min() >= 0 else labels.min()} is outside of the "
                f"{rows.shape[1]} classes of output '{answer.output}', 0 to {rows.shape[1] - 1}."
            )
        own = np.take_along_axis(rows, labels[:, None], axis=1)
        ties = (rows == own) & (np.arange(rows.shape[1]) < labels[:, None])
        return float((((rows > own) | ties).sum(axis=1) < k).mean())

    return score


def _agreement(answer: Answer) -> float:
    """The share of equal decisions, of the output where it is least."""
    return min(
        float(
            (
                decisions(answer.outputs[name], answer.threshold)
                == decisions(answer.reference[name], answer.threshold)
            ).mean()
        )
        for name in answer.decided
    )


def _cosine(answer: Answer) -> float:
    """The cosine between outputs and reference, averaged over the outputs; two zero outputs are equal."""
    return float(np.mean([cosine(answer.outputs[name], answer.reference[name]) for name in answer.reference]))


def cosine(output: Array, reference: Array) -> float:
    """The cosine of the angle between two arrays taken as vectors.

    Example:
        >>> cosine(np.array([1.0, 0]), np.array([2.0, 0])), cosine(np.zeros(2), np.ones(2))
        (1.0, 0.0)
    """
    a, b = output.reshape(-1).astype(np.float64), reference.reshape(-1).astype(np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if lengths == 0:
        return 1.0 if np.array_equal(a, b) else 0.0
    return float(a @ b) / lengths


def decibels(signal: float, noise: float) -> float:
    """``10 log10(signal / noise)`` within ±200, which stands for equal outputs.

    Example:
        >>> decibels(100.0, 1.0), decibels(1.0, 0.0)
        (20.0, 200.0)
    """
    if noise == 0:
        return MOST_DB
    return float(np.clip(10 * np.log10(max(signal, 1e-300) / noise), -MOST_DB, MOST_DB))


def powers(output: Array, reference: Array) -> tuple[float, float]:
    """Sum of squares of the reference, and of the difference from it."""
    signal = reference.astype(np.float64)
    return float((signal**2).sum()), float(((output.astype(np.float64) - signal) ** 2).sum())


def _snr_db(answer: Answer) -> float:
    return min(decibels(*powers(answer.outputs[name], answer.reference[name])) for name in answer.reference)


def _error(power: int) -> Callable[[Answer], float]:
    def score(answer: Answer) -> float:
        output, label = answer.outputs[answer.output], np.asarray(answer.label, dtype=np.float64)
        if label.size != output.size:
            raise DataError(
                f"A label of shape {shape_text(label.shape)} cannot be compared with output "
                f"'{answer.output}' of shape {shape_text(output.shape)}. Expected one number an entry."
            )
        return float((np.abs(output.reshape(-1) - label.reshape(-1)) ** power).mean())

    return score


METRICS: dict[str, Metric] = {
    row.name: row
    for row in (
        Metric("top1", _top(1), "share of samples whose label has the largest score", best=1.0),
        Metric("top5", _top(5), "share of samples whose label is among the five largest scores", best=1.0),
        Metric(
            "agreement",
            _agreement,
            "share of decisions equal to the reference's",
            False,
            perfect=1.0,
            best=1.0,
        ),
        Metric("cosine", _cosine, "cosine between outputs and the reference's", False, perfect=1.0, best=1.0),
        Metric("snr_db", _snr_db, "signal-to-noise ratio of the outputs in dB", needs_labels=False),
        Metric("mae", _error(1), "mean absolute error against the label", higher_is_better=False, best=0.0),
        Metric("mse", _error(2), "mean squared error against the label", higher_is_better=False, best=0.0),
    )
}

"""Metrics of decisions: the class of a sample, the classes of its places, several classes at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tightfit.data.sample import Label, shape_text
from tightfit.errors import DataError
from tightfit.evaluation.metrics.metric import SHARE, Answer, Metric, mean_where, ratio
from tightfit.types import Array

_AVERAGE = {"average": "macro (default: mean over the classes), micro (all decisions together)"}
_PLACES = "class indices or one-hot rows, one for each decision of the output"


def class_labels(label: Label, output: Array) -> Array:
    """Return the class at each decision of an output: from a number, a one-hot vector, or a map of classes.

    Raises:
        DataError: when the label has another shape, or is not a class.

    Example:
        >>> class_labels(2, np.zeros((1, 10))), class_labels(np.array([0, 1.0, 0]), np.zeros((1, 3)))
        (array([2]), array([1]))
    """
    classes = output.shape[-1] if output.ndim else 1
    decided = output.size // max(classes, 1)
    values = np.asarray(label)
    if values.dtype.kind not in "iufb":
        raise DataError(f"The label '{label}' is no class. Pass class indices, numbers from 0.")
    values = values.reshape(-1)
    if values.size == classes * decided and classes > 1:
        return _one_hot(values.reshape(decided, classes))
    if values.size != decided or (values != np.floor(values)).any():
        what = "a class index from 0" if decided == 1 else f"{decided} class indices from 0"
        shown = f"{values[0]:g}" if values.size == 1 else f"of shape {shape_text(np.shape(label))}"
        raise DataError(
            f"The label {shown} is no class of an output of shape {shape_text(output.shape)}; expected "
            f"{what}. Give class indices as labels, or a metric for real numbers such as mae."
        )
    return values.astype(np.int64)


def _one_hot(rows: Array) -> Array:
    if ((rows != 0) & (rows != 1)).any() or (rows.sum(axis=1) != 1).any():
        raise DataError(
            f"A label of {rows.shape[1]} numbers is not one-hot ({rows[0][:4]} …). Pass class indices, "
            "or name a metric for real numbers such as mae."
        )
    return np.asarray(rows.argmax(axis=1))


def decisions(output: Array, threshold: float = 0.5) -> Array:
    """Return the class of each decision: the largest entry, or whether a single unit is over a threshold."""
    if output.ndim and output.shape[-1] > 1:
        return np.asarray(output.reshape(-1, output.shape[-1]).argmax(axis=1))
    return np.asarray((output.reshape(-1) > threshold).astype(np.int64))


def units(output: Array) -> int:
    """Return the length of the last axis, 1 for a single number."""
    return output.shape[-1] if output.ndim else 1


def _truths(answer: Answer, output: Array) -> tuple[Array, Array]:
    """The class at each decision, and which decisions count: those whose label is not to be ignored."""
    assert answer.label is not None  # noqa: S101 - the task refuses data without labels
    labels = class_labels(answer.label, output)
    counted = ~np.isin(labels, answer.options.get("ignored", ()))
    classes = max(units(output), 2)
    outside = counted & ((labels < 0) | (labels >= classes))
    if outside.any():
        raise DataError(
            f"The label {labels[outside][0]} is outside of the {classes} classes of output "
            f"'{answer.output}', 0 to {classes - 1}."
        )
    return labels, counted


def _top(k: int) -> Callable[[Answer], float]:
    """The share of labels among the k largest scores; of equal scores the lower class comes first."""

    def score(answer: Answer) -> float:
        output = answer.outputs[answer.output]
        if answer.options.get("several"):
            hits = (output.reshape(-1) > answer.threshold) == (np.asarray(answer.label).reshape(-1) > 0)
            return float(hits.all())
        labels, counted = _truths(answer, output)
        if not counted.any():
            return 1.0
        if units(output) == 1:
            return float((decisions(output, answer.threshold) == labels)[counted].mean())
        rows, labels = output.reshape(-1, output.shape[-1])[counted], labels[counted]
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


def confusion(answer: Answer) -> Array:
    """Return for each class the decisions that hit, those for it, and those that belong to it: 3 × classes.

    Of a single unit only class 1 is counted; of several classes at once each unit is a class.
    """
    output = answer.outputs[answer.output]
    classes = units(output)
    if answer.options.get("several"):
        found = output.reshape(-1, classes) > answer.threshold
        wanted = np.asarray(answer.label).reshape(-1, classes) > 0
        return np.concatenate([(found & wanted).sum(0), found.sum(0), wanted.sum(0)]).astype(np.float64)
    labels, counted = _truths(answer, output)
    found, labels = decisions(output, answer.threshold)[counted], labels[counted]
    both = max(classes, 2)
    hits = np.bincount(labels[found == labels], minlength=both)
    sums = np.stack([hits, np.bincount(found, minlength=both), np.bincount(labels, minlength=both)])
    one_class = classes == 1 and not answer.options.get("both")
    return np.asarray((sums[:, 1:] if one_class else sums).reshape(-1), np.float64)


def _confusion_and_average(answer: Answer) -> Array:
    """The confusion with a last entry that counts samples of micro average: the option travels with it."""
    micro = answer.options.get("average", "macro") == "micro" or "micro" in answer.options
    return np.append(confusion(answer), float(micro))


def _averaged(quotient: Callable[[Array, Array, Array], Array]) -> Callable[[Array], Array]:
    """A value of summed confusions: macro over the classes that occur, or micro."""

    def value(sums: Array) -> Array:
        rows = np.atleast_2d(sums)
        hits, found, wanted = np.moveaxis(rows[:, :-1].reshape(len(rows), 3, -1), 1, 0)
        micro = rows[:, -1] > 0
        macro = mean_where(quotient(hits, found, wanted), (found + wanted) > 0)
        total = quotient(*(part.sum(axis=1) for part in (hits, found, wanted)))
        return np.where(micro, total, macro)

    return value


def _both_classes(answer: Answer) -> Array:
    """The confusion of a map, of both classes where one unit decides."""
    inner = Answer(**{**vars(answer), "options": {**answer.options, "both": True}})
    return np.append(confusion(inner), 0.0)


def _binary_record(answer: Answer) -> tuple[Array, Array]:
    """The scores of a sample's decisions and what they should be, one column a class."""
    output = answer.outputs[answer.output]
    classes = units(output)
    rows = output.reshape(-1, classes).astype(np.float64)
    if answer.options.get("several"):
        return rows, np.asarray(answer.label).reshape(-1, classes) > 0
    labels, counted = _truths(answer, output)
    rows, labels = rows[counted], labels[counted]
    if classes == 1:
        return rows, labels[:, None] == 1
    if classes == 2:
        return rows[:, 1:] - rows[:, :1], labels[:, None] == 1
    return rows, labels[:, None] == np.arange(classes)


def _auc(records: Sequence[Any], weights: Array | None) -> float:
    """The mean over classes of the area under the curve of hits over false alarms; ties count half."""
    scores = np.concatenate([scores for scores, _ in records])
    wanted = np.concatenate([wanted for _, wanted in records])
    counts = [len(scores) for scores, _ in records]
    weight = np.repeat(np.ones(len(records)) if weights is None else weights, counts)
    areas = [_area(scores[:, c], wanted[:, c], weight) for c in range(scores.shape[1])]
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if known else 0.0


def _area(scores: Array, wanted: Array, weight: Array) -> float | None:
    """The probability that a wanted entry scores above an unwanted one; None without one of each."""
    order = np.argsort(scores, kind="stable")
    values, positive = scores[order], (weight * wanted)[order]
    negative = weight[order] - positive
    starts = np.flatnonzero(np.append(True, np.diff(values) != 0))
    positive, negative = np.add.reduceat(positive, starts), np.add.reduceat(negative, starts)
    below = np.cumsum(negative) - negative
    total = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / total) if total > 0 else None


def _f1(hits: Array, found: Array, wanted: Array) -> Array:
    return ratio(2 * hits, found + wanted)


ROWS = (
    Metric(
        "top1", _top(1), "share of samples whose label has the largest score", best=1.0, noun="accuracy",
        labels=_PLACES, formula="mean over samples of the share of decisions equal to the label; a sample of "
        "several classes at once counts where all of them are right",
    ),
    Metric(
        "top5", _top(5), "share of samples whose label is among the five largest scores", best=1.0,
        noun="top-5 accuracy", labels=_PLACES,
        formula="mean over samples of [label among the 5 largest scores]",
    ),
    Metric(
        "agreement", _agreement, "share of decisions equal to the reference's", False, perfect=1.0, best=1.0,
        noun="agreement with the original", formula="mean over samples of the share of decisions equal to "
        "the original's, of the output where it is least",
        proxy="whether the original's decisions are right, and changes of values that change no decision",
    ),
    Metric(
        "f1", None, "F1 of the decisions", best=1.0, noun="F1", labels=_PLACES, sums=_confusion_and_average,
        value=_averaged(_f1), formula="2 hits / (decided + labelled), of class 1 for a single unit",
        options=_AVERAGE,
    ),
    Metric(
        "precision", None, "share of the decisions for a class that are right", best=1.0, noun="precision",
        labels=_PLACES, sums=_confusion_and_average, value=_averaged(lambda h, f, _: ratio(h, f)),
        formula="hits / decided", options=_AVERAGE,
    ),
    Metric(
        "recall", None, "share of a class that is found", best=1.0, noun="recall", labels=_PLACES,
        sums=_confusion_and_average, value=_averaged(lambda h, _, w: ratio(h, w)), formula="hits / labelled",
        options=_AVERAGE,
    ),
    Metric(
        "auc", None, "area under the ROC curve", best=1.0, noun="ROC AUC", labels=_PLACES,
        record=_binary_record, whole=_auc, formula="probability that a sample of the class scores above one "
        "of another class, ties half; mean over the classes, one against the rest",
    ),
    Metric(
        "miou", None, "mean intersection over union of the classes", best=1.0, noun="mIoU", labels=_PLACES,
        sums=_both_classes, value=_averaged(lambda h, f, w: ratio(h, f + w - h)),
        formula="hits / (decided + labelled − hits) over all samples, mean over the classes that occur",
    ),
    Metric(
        "dice", None, "mean Dice coefficient of the classes", best=1.0, noun="Dice", labels=_PLACES,
        sums=_both_classes, value=_averaged(_f1),
        formula="2 hits / (decided + labelled) over all samples, mean over the classes that occur",
    ),
)  # fmt: skip

__all__ = ["ROWS", "SHARE", "class_labels", "confusion", "decisions", "units"]

"""Mean average precision of boxes, as COCO counts it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from tightfit.evaluation.metrics.boxes import Boxes, Truth, overlaps, truth_of
from tightfit.evaluation.metrics.decoders import DECODERS, find_decoder
from tightfit.evaluation.metrics.metric import Answer, Metric
from tightfit.types import Array

_LEVELS: Final = np.linspace(0.0, 1.0, 101)


class Found(NamedTuple):
    """One image: classes and scores of its boxes, and at each threshold which hit and which do not count.

    Args:
        hit: thresholds × boxes.
        void: the same, True where the box meets only a crowd.
        wanted: labelled boxes of each class, crowds left out.
    """

    classes: Array
    scores: Array
    hit: Array
    void: Array
    wanted: dict[int, int]


def matched(boxes: Boxes, truth: Truth, thresholds: Array) -> Found:
    """Return which boxes hit a labelled one: from the highest score down, each takes the best that is free.

    Source: cocodataset/cocoapi, ``cocoeval.py:evaluateImg``, of all areas and 100 boxes at most.
    """
    hit = np.zeros((len(thresholds), len(boxes.scores)), bool)
    void = np.zeros_like(hit)
    for label in np.unique(boxes.classes):
        mine = np.flatnonzero(boxes.classes == label)
        theirs = np.flatnonzero(truth.classes == label)
        theirs = theirs[np.argsort(truth.crowd[theirs], kind="stable")]  # crowds come last
        if not len(theirs):
            continue
        crowd = truth.crowd[theirs]
        shares = overlaps(boxes.corners[mine], truth.corners[theirs], crowd)
        for t, threshold in enumerate(thresholds):
            _match(shares, crowd, float(threshold), hit[t], void[t], mine)
    labels, counts = np.unique(truth.classes[~truth.crowd], return_counts=True)
    wanted = dict(zip(labels.tolist(), counts.tolist(), strict=True))
    return Found(boxes.classes, boxes.scores, hit, void, wanted)


def _match(shares: Array, crowd: Array, threshold: float, hit: Array, void: Array, mine: Array) -> None:
    """Writes the hits of one class at one threshold."""
    taken = np.zeros(shares.shape[1], bool)
    for row, box in enumerate(mine):
        best, least = -1, min(threshold, 1 - 1e-10)
        for column in range(shares.shape[1]):
            if taken[column] and not crowd[column]:
                continue
            if best > -1 and not crowd[best] and crowd[column]:
                break
            if shares[row, column] >= least:
                best, least = column, shares[row, column]
        if best > -1:
            taken[best] = True
            hit[box], void[box] = not crowd[best], crowd[best]


def average_precision(records: Sequence[Found], weights: Array | None = None) -> float:
    """Return the mean over classes and thresholds of the precision at 101 levels of recall.

    Args:
        records: of the images.
        weights: how often each image counts; None for once.
    """
    per_image = np.ones(len(records)) if weights is None else weights
    wanted: dict[int, float] = {}
    for record, weight in zip(records, per_image, strict=True):
        for label, count in record.wanted.items():
            wanted[label] = wanted.get(label, 0.0) + count * float(weight)
    wanted = {label: count for label, count in wanted.items() if count > 0}
    if not wanted:
        return 0.0
    classes = np.concatenate([r.classes for r in records])
    scores = np.concatenate([r.scores for r in records])
    hit = np.concatenate([r.hit for r in records], axis=1)
    void = np.concatenate([r.void for r in records], axis=1)
    weight = np.repeat(per_image, [len(r.scores) for r in records])
    order = np.lexsort((np.arange(len(scores)), -scores, classes))
    classes, hit, void, weight = classes[order], hit[:, order], void[:, order], weight[order]
    means = []
    for label, total in wanted.items():
        low, high = np.searchsorted(classes, [label, label + 1])
        means.append(_precisions(hit[:, low:high], void[:, low:high], weight[low:high], total))
    return float(np.mean(means))


def _precisions(hit: Array, void: Array, weight: Array, wanted: float) -> float:
    """The mean precision over levels of recall and thresholds, of one class."""
    if not hit.shape[1]:
        return 0.0
    hits = np.cumsum(hit * weight, axis=1)
    misses = np.cumsum((~hit & ~void) * weight, axis=1)
    recall, precision = hits / wanted, hits / np.maximum(hits + misses, np.spacing(1.0))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    total = 0.0
    for t in range(len(hit)):
        places = np.searchsorted(recall[t], _LEVELS, side="left")
        inside = places < hit.shape[1]
        total += float(envelope[t, places[inside]].sum()) / len(_LEVELS)
    return total / len(hit)


def _record(thresholds: Array) -> Callable[[Answer], Found]:
    def record(answer: Answer) -> Found:
        options = answer.options
        boxes = find_decoder(options).decode(answer.outputs, options)
        truth = truth_of(answer.label, answer.labels, str(options.get("labels", "xyxy")))
        scale = np.asarray(options.get("truth_scale", 1.0), np.float64)
        return matched(boxes, truth._replace(corners=truth.corners * scale), thresholds)

    return record


def _whole(records: Sequence[Any], weights: Array | None) -> float:
    return average_precision(records, weights)


_LABELS = "boxes (k × 4) with classes (k), or rows of class and box; padding has a negative class"
_OPTIONS = {
    "decoder": ", ".join(DECODERS),
    "labels": "format of the labelled boxes: xyxy (default), yxyx, xywh, cxcywh",
    "format": "format of the found boxes, for the decoder boxes: the same words",
    "anchors": "W:H:W:H… in pixels, or a file",
    "size": "pixels that anchors are of; the input's width by default",
    "nms": "overlap from which the lesser box of a class goes: 0.6",
    "score": "least score: 0.001",
    "background": "class of the background, left out",
}
_FORMULA = (
    "COCO's average precision: boxes from the highest score down take the best free label of their class "
    "with an overlap of at least the threshold; precision at 101 levels of recall, mean over classes"
)

ROWS = (
    Metric(
        "map50", None, "mean average precision at an overlap of 0.5", best=1.0, noun="mAP at 0.5",
        labels=_LABELS, record=_record(np.array([0.5])), whole=_whole, formula=_FORMULA, options=_OPTIONS,
    ),
    Metric(
        "map", None, "mean average precision at overlaps of 0.5 to 0.95", best=1.0, noun="mAP at 0.5–0.95",
        labels=_LABELS, record=_record(np.linspace(0.5, 0.95, 10)), whole=_whole,
        formula=f"{_FORMULA}; mean over the thresholds 0.5, 0.55 … 0.95", options=_OPTIONS,
    ),
)  # fmt: skip

"""Boxes of a detector: their formats, overlaps, non-maximum suppression, and the labels of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from tightfit.data.sample import Label, shape_text
from tightfit.errors import DataError, unknown_name
from tightfit.types import Array

FORMATS: Final = ("xyxy", "yxyx", "xywh", "cxcywh")
MOST: Final = 100
"""Boxes of an image that count at most, as COCO's."""


class Boxes(NamedTuple):
    """Boxes of one image: corners x, y, x, y; scores from high to low; classes."""

    corners: Array
    scores: Array
    classes: Array


class Truth(NamedTuple):
    """Labelled boxes of one image; ``crowd`` marks those that are neither asked for nor wrong."""

    corners: Array
    classes: Array
    crowd: Array


def corners_of(boxes: Array, form: str) -> Array:
    """Return boxes as x, y, x, y.

    Args:
        boxes: n × 4.
        form: one of ``FORMATS``: corners, TensorFlow's corners, COCO's corner and size, centre and size.

    Raises:
        DataError: for an unknown format.

    Example:
        >>> corners_of(np.array([[5.0, 6, 2, 4]]), "cxcywh").tolist()
        [[4.0, 4.0, 6.0, 8.0]]
    """
    rows = np.asarray(boxes, np.float64).reshape(-1, 4)
    if form == "xyxy":
        return rows
    if form == "yxyx":
        return rows[:, [1, 0, 3, 2]]
    if form == "xywh":
        return np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], axis=1)
    if form == "cxcywh":
        return np.concatenate([rows[:, :2] - rows[:, 2:] / 2, rows[:, :2] + rows[:, 2:] / 2], axis=1)
    raise DataError(unknown_name("format of boxes", form, FORMATS))


def overlaps(boxes: Array, others: Array, crowd: Array | None = None) -> Array:
    """Return intersection over union of each box with each other, over the own area for crowds: n × m."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    own = (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1)[:, None]
    both = own + (others[:, 2:] - others[:, :2]).prod(axis=-1)[None] - common
    below = both if crowd is None else np.where(crowd[None], own, both)
    return np.asarray(np.divide(common, below, out=np.zeros_like(common), where=below > 0))


def suppressed(boxes: Array, scores: Array, overlap: float, score: float) -> Boxes:
    """Return the best boxes of each class that do not overlap a better one of it by as much.

    Args:
        boxes: n × 4 corners.
        scores: n × classes.
        overlap: intersection over union from which the lesser box goes.
        score: boxes below go first.
    """
    found: list[tuple[Array, Array, Array]] = []
    for label in range(scores.shape[1]):
        kept = np.flatnonzero(scores[:, label] > score)
        kept = kept[np.argsort(-scores[kept, label], kind="stable")][:300]
        chosen: list[int] = []
        alike = overlaps(boxes[kept], boxes[kept])
        alive = np.ones(len(kept), bool)
        for i in range(len(kept)):
            if alive[i]:
                chosen.append(int(kept[i]))
                alive &= alike[i] < overlap
        if chosen:
            found.append((boxes[chosen], scores[chosen, label], np.full(len(chosen), label)))
    if not found:
        return Boxes(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    corners, values, classes = (np.concatenate(part) for part in zip(*found, strict=True))
    return best(Boxes(corners, values, classes))


def best(boxes: Boxes) -> Boxes:
    """Return the boxes from the highest score down, 100 at most."""
    order = np.argsort(-boxes.scores, kind="stable")[:MOST]
    return Boxes(boxes.corners[order], boxes.scores[order], boxes.classes[order])


_CLASS_NAMES = ("classes", "class_ids", "labels", "class", "category_id")
_CROWD_NAMES = ("crowd", "iscrowd", "difficult")


def truth_of(label: Label | None, labels: Mapping[str, Label], form: str) -> Truth:
    """Return the labelled boxes of an image; rows with a negative class are padding.

    Args:
        label: rows of class and box; or None.
        labels: ``boxes`` with ``classes`` (or ``labels``), and perhaps ``crowd``.
        form: of the boxes.

    Raises:
        DataError: for other shapes.
    """
    if "boxes" in labels:
        boxes = np.asarray(labels["boxes"], np.float64).reshape(-1, 4)
        named = next((labels[name] for name in _CLASS_NAMES if name in labels), None)
        classes = np.zeros(len(boxes), np.int64) if named is None else np.asarray(named).reshape(-1)
        crowd: Any = next((labels[name] for name in _CROWD_NAMES if name in labels), None)
    else:
        rows = np.asarray(label, np.float64)
        rows = rows.reshape(-1, 5) if rows.size % 5 == 0 else rows
        if rows.ndim != 2 or rows.shape[1] != 5:
            raise DataError(
                f"A label of shape {shape_text(rows.shape)} names no boxes. Expected rows of class and four "
                "numbers, or labels named boxes and classes."
            )
        boxes, classes, crowd = rows[:, 1:], rows[:, 0], None
    if len(boxes) != len(classes):
        raise DataError(f"{len(boxes)} boxes and {len(classes)} classes label one image. Expected one a box.")
    marks = np.zeros(len(boxes), bool) if crowd is None else np.asarray(crowd).reshape(-1).astype(bool)
    real = classes >= 0
    return Truth(corners_of(boxes, form)[real], classes[real].astype(np.int64), marks[real])

"""Retrieval by embeddings: does the nearest other sample belong to the same class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tightfit.evaluation.metrics.metric import Answer, Metric
from tightfit.types import Array

_CHUNK = 1 << 22


def _record(answer: Answer) -> tuple[Array, Array, int | None]:
    """The unit vectors of the output and of the reference's, and the sample's class."""
    own, reference = (_unit(given[answer.output]) for given in (answer.outputs, answer.reference))
    label = answer.label
    return own, reference, None if label is None else int(np.asarray(label).reshape(-1)[0])


def _unit(values: Array) -> Array:
    vector = values.reshape(-1).astype(np.float32)
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def _hits(records: Sequence[Any]) -> Array:
    """One for each sample whose nearest other has its label, or whose nearest original is its own."""
    own = np.stack([r[0] for r in records])
    labels = [r[2] for r in records]
    labelled = all(label is not None for label in labels)
    gallery = own if labelled else np.stack([r[1] for r in records])
    rows = max(1, _CHUNK // len(own))
    nearest = []
    for first in range(0, len(own), rows):
        similar = own[first : first + rows] @ gallery.T
        if labelled:
            places = np.arange(first, min(first + rows, len(own)))
            similar[np.arange(len(places)), places] = -np.inf
        nearest.append(similar.argmax(axis=1))
    found = np.concatenate(nearest)
    if not labelled:
        return np.asarray(found == np.arange(len(own)), np.float64)
    classes = np.array(labels)
    return np.asarray(classes[found] == classes, np.float64)


ROWS = (
    Metric(
        "retrieval", None, "share of samples whose nearest other sample is of the same class",
        needs_labels=False, best=1.0, noun="recall at 1",
        labels="class indices; without labels the nearest of the original's embeddings must be the sample's",
        record=_record, each=_hits,
        formula="mean over samples of [nearest other by cosine has the same label]",
        proxy="whether the original's neighbours are the right ones",
    ),
)  # fmt: skip

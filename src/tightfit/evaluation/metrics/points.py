"""Metrics of key points: PCK, OKS and NME, of points whose label is visible."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from tightfit.data.sample import shape_text
from tightfit.errors import DataError
from tightfit.evaluation.metrics.metric import SHARE, Answer, Metric, ratio
from tightfit.types import Array

_COCO_SIGMAS: Final = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087,
    0.089, 0.089,
)  # fmt: skip
"""Of the 17 points of COCO persons: cocodataset.org, keypoints-eval."""

_SIGMA: Final = 0.05
_LABELS = "points × 2 (x, y), or × 3 with a visibility: 0 is left out"
_NORM = {
    "norm": "what distances are divided by: box (default: larger side of the visible points' box), A:B (the "
    "distance of two labelled points, as 36:45 for the eyes' corners) or a number"
}


class Points(NamedTuple):
    """Found and labelled points of one sample, each points × 2; which count."""

    found: Array
    wanted: Array
    seen: Array


def points_of(answer: Answer) -> Points:
    """Return the points of a sample; an output may hold x and y, or x, y and a visibility for each.

    Raises:
        DataError: when the output has not as many points as the label.
    """
    output = answer.outputs[answer.output].astype(np.float64)
    wanted = np.asarray(answer.label, np.float64)
    if wanted.ndim != 2 or wanted.shape[1] not in (2, 3):
        width = 3 if wanted.size % 3 == 0 and wanted.size % 2 else 2
        wanted = wanted.reshape(-1, int(answer.options.get("width", width)))
    count = len(wanted)
    if output.size % max(count, 1) or output.size // max(count, 1) not in (2, 3):
        raise DataError(
            f"A label of {count} points (shape {shape_text(wanted.shape)}) does not fit output "
            f"'{answer.output}' of {output.size} numbers. Expected x and y of each point, or x, y, "
            "visibility."
        )
    found = output.reshape(count, -1)[:, :2]
    marked = wanted[:, 2:] > 0 if wanted.shape[1] == 3 else np.isfinite(wanted) & (wanted >= 0)
    return Points(found, wanted[:, :2], np.asarray(marked.all(axis=1)))


def _scale(answer: Answer, points: Points) -> float:
    norm = str(answer.options.get("norm", "box"))
    if norm == "box":
        sides = np.ptp(points.wanted[points.seen], axis=0) if points.seen.any() else np.ones(2)
        return float(max(sides.max(), 1e-9))
    if ":" in norm:
        a, b = (int(i) for i in norm.split(":"))
        return max(float(np.linalg.norm(points.wanted[a] - points.wanted[b])), 1e-9)
    return float(norm)


def _distances(points: Points) -> Array:
    return np.asarray(np.linalg.norm(points.found - points.wanted, axis=1)[points.seen])


def _pck(answer: Answer) -> Array:
    points = points_of(answer)
    share = float(answer.options.get("threshold", 0.1))
    near = _distances(points) <= share * _scale(answer, points)
    return np.array([near.sum(), len(near)], np.float64)


def _nme(answer: Answer) -> float:
    points = points_of(answer)
    return float(_distances(points).mean() / _scale(answer, points)) if points.seen.any() else 0.0


def _oks(answer: Answer) -> float:
    """The mean over visible points of ``exp(−d² / (2 area (2σ)²))``."""
    points = points_of(answer)
    if not points.seen.any():
        return 1.0
    count = len(points.wanted)
    sigmas = np.array(_COCO_SIGMAS if count == len(_COCO_SIGMAS) else [_SIGMA] * count)[points.seen]
    sides = np.ptp(points.wanted[points.seen], axis=0)
    area = float(np.asarray(answer.labels.get("area", sides.prod())).reshape(-1)[0])
    return float(np.exp(-(_distances(points) ** 2) / (2 * max(area, 1e-9) * (2 * sigmas) ** 2)).mean())


ROWS = (
    Metric(
        "pck", None, "share of points within a tenth of the object's size", best=1.0, noun="PCK",
        labels=_LABELS, sums=_pck, value=lambda s: ratio(np.atleast_2d(s)[:, 0], np.atleast_2d(s)[:, 1]),
        formula="share of visible points with |output − label| ≤ threshold · norm",
        options={"threshold": "0.1", **_NORM},
    ),
    Metric(
        "oks", _oks, "object key-point similarity", best=1.0, noun="OKS", labels=_LABELS,
        formula="mean over samples of mean exp(−d² / (2 area (2σ)²)); σ of COCO's 17 points, else 0.05; area "
        "from a label named area, else of the visible points' box",
    ),
    Metric(
        "nme", _nme, "mean distance relative to the object's size", higher_is_better=False, best=0.0,
        noun="normalized mean error", labels=_LABELS, unit=SHARE,
        formula="mean over samples of mean |output − label| / norm", options=_NORM,
    ),
)  # fmt: skip

"""Whether a model can still keep to an allowed drop, given what it lost on the samples so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tightfit.evaluation.metrics import Metric
from tightfit.types import Array

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Limit:
    """What is allowed, and what is known.

    Args:
        max_drop: how much worse than the reference a model may be.
        reference: its score of each sample.
    """

    max_drop: float
    reference: Array


class DropBound:
    """What one model may still lose; no statistics: the samples left are taken to score as well as can be.

    Args:
        metric: with a best score, see ``Metric``.

    Example:
        >>> from tightfit.evaluation.metrics import METRICS
        >>> bound = DropBound(METRICS["top1"], Limit(0.0, np.array([1, 1, 0, 1])))
        >>> [bound.exceeded(score) for score in (0.0, 0.0)]
        [False, True]
    """

    def __init__(self, metric: Metric, limit: Limit) -> None:
        reference = np.asarray(limit.reference, np.float64)
        self._sign = 1.0 if metric.higher_is_better else -1.0
        gains = self._sign * (np.float64(metric.best or 0.0) - reference)
        self._reference = reference
        self._left = np.append(np.cumsum(gains[::-1])[::-1], 0.0)
        self._allowed = limit.max_drop * len(reference) + _ROUNDING
        self._seen, self._lost = 0, 0.0

    def exceeded(self, score: float) -> bool:
        """Takes in the next sample's score; True once the drop over all must be larger than allowed."""
        self._lost += self._sign * (float(self._reference[self._seen]) - score)
        self._seen += 1
        return bool(self._lost - self._left[self._seen] > self._allowed)


def drop_bound(metric: Metric | None, limit: Limit | None, total: int) -> DropBound | None:
    """Return the bound of one model, or None where nothing bounds what the samples left can score."""
    if limit is None or metric is None or metric.best is None or len(limit.reference) != total:
        return None
    return DropBound(metric, limit)

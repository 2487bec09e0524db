"""Collects a metric over the samples of one model, and compares two models on the same samples.

There is one tally for each kind of metric. Intervals of means are those of ``comparison``; those of other
metrics are percentiles of a paired bootstrap over samples: both models are resampled alike. Percentiles are
widened by Student's quantile for few samples. Where hardly a sample changed, resampling shows no spread: a
share is then given the interval that Tango's method gives where nothing changed.
"""

from __future__ import annotations

import hashlib
import math
from array import array as flat_array
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tightfit.evaluation.intervals import student_quantile, unchanged_half
from tightfit.evaluation.metrics.metric import SHARE, Answer, Metric
from tightfit.evaluation.paired_comparison import mean_score, paired_drop
from tightfit.streaming.pairwise_sums import PairwiseSum
from tightfit.types import Array

_RESAMPLES: Final = 1000
_RESAMPLES_OF_RECORDS: Final = 200
_MOST_SUMS: Final = 20_000_000
"""Numbers that the resampled sums of one model hold at most: fewer resamples where vectors are long."""
_FEWEST_SAMPLES: Final = 5
_FEWEST_CHANGED: Final = 5
_PAIR: Final = (0.025, 0.975)

Estimate = tuple[float, float | None, float | None]


@dataclass(frozen=True)
class Change:
    """How a metric changed: negative is worse.

    Args:
        value: the change with its 95 % interval, which is None where samples are too few.
        low: lower end of the interval.
        high: upper end of the interval.
        lost: samples that only the reference, or only the model, scores; None unless each is right or wrong.
        gained: see ``lost``.
    """

    value: float
    low: float | None
    high: float | None
    lost: int | None = None
    gained: int | None = None


class MeanTally:
    """A mean of one score a sample; memory grows by eight bytes a sample."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._scores = flat_array("d")
        self.latest: float | None = None

    def add(self, answer: Answer, index: int) -> None:  # noqa: ARG002 - the order is the same for all models
        """Takes in one sample."""
        assert self.metric.score is not None  # noqa: S101 - see tally_of
        self.latest = self.metric.score(answer)
        self._scores.append(self.latest)

    def merge(self, following: MeanTally) -> None:
        """Takes in the samples that follow."""
        self._scores += following._scores
        self.latest = following.latest

    @property
    def scores(self) -> Array:
        """The score of each sample."""
        return np.array(self._scores, np.float64)

    def estimate(self) -> Estimate:
        """Return the mean; Wilson's interval of shares, else the bootstrap's."""
        return mean_score(self.scores)

    def change(self, reference: MeanTally) -> Change:
        """Return the mean of paired differences; Tango's interval of shares, else the bootstrap's."""
        return paired_change(reference.scores, self.scores, self.metric.sign)


def paired_change(before: Array, after: Array, sign: float) -> Change:
    """Return the change of a mean from the scores of the same samples.

    Args:
        before: score of each sample by the reference, shape (n,).
        after: score of the same samples by the model, shape (n,).
        sign: 1 where more is better, −1 for errors.

    Example:
        >>> paired_change(np.array([1.0, 1, 1, 0]), np.array([1.0, 0, 1, 0]), 1).value
        -0.25
    """
    pair = (before, after) if sign > 0 else (after, before)
    found = paired_drop(*pair)
    lost = gained = None
    if found.method == "tango":
        lost, gained = int((pair[0] > pair[1]).sum()), int((pair[0] < pair[1]).sum())
    low, high = (None if end is None else -end for end in (found.high, found.low))
    return Change(-found.drop + 0.0, low, high, lost, gained)


class Sums:
    """A metric of summed vectors: the sum, and sums of resampled samples, so memory does not grow.

    Each sample counts k times in a resample with the probability of Poisson's distribution of mean 1; the
    counts follow from the seed and the sample's index, so that models are resampled alike. The sum of shards
    is bit-equal to that of one process; resampled sums are so where vectors hold counts, and equal to
    rounding where they hold reals.

    Source: Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating uncertainty for massive data streams".
    """

    scores = None

    def __init__(self, metric: Metric, first: int = 0) -> None:
        self.metric = metric
        self.latest: float | None = None
        self._total = PairwiseSum(first)
        self._resampled: Array | None = None
        self._marks: list[int] = []

    def add(self, answer: Answer, index: int) -> None:
        """Takes in one sample."""
        assert self.metric.sums is not None  # noqa: S101 - see tally_of
        vector = np.asarray(self.metric.sums(answer), np.float64)
        self._marks.append(_mark(vector))
        if self._resampled is None:
            rows = max(100, min(_RESAMPLES, _MOST_SUMS // max(vector.size, 1)))
            self._resampled = np.zeros((rows, vector.size))
        self._total.add(vector)
        there = np.flatnonzero(vector)
        counts = counts_of(index, len(self._resampled))
        self._resampled[:, there] += counts[:, None] * vector[there]

    def merge(self, following: Sums) -> None:
        """Takes in the samples that follow."""
        self._total.merge(following._total)
        self._marks += following._marks
        if self._resampled is None:
            self._resampled = following._resampled
        elif following._resampled is not None:
            self._resampled += following._resampled

    def _value(self, sums: Array) -> Array:
        assert self.metric.value is not None  # noqa: S101 - see tally_of
        return np.asarray(self.metric.value(np.atleast_2d(sums)), np.float64)

    def estimate(self) -> Estimate:
        """Return the metric of all samples, and the percentiles of the resampled ones."""
        value = float(self._value(self._all)[0])
        if len(self._marks) < _FEWEST_SAMPLES:
            return value, None, None
        return value, *_spread(value, self._value(self._some), len(self._marks))

    def change(self, reference: Sums) -> Change:
        """Return the difference of the metric, and the percentiles of the differences of resamples."""
        sign = self.metric.sign
        value = sign * float(self._value(self._all)[0] - reference._value(reference._all)[0])
        if len(self._marks) < _FEWEST_SAMPLES:
            return Change(value, None, None)
        differences = sign * (self._value(self._some) - reference._value(reference._some))
        return _changed(value, differences, (reference._marks, self._marks), self.metric)

    @property
    def _all(self) -> Array:
        return np.asarray(self._total.total(empty=np.zeros(2)))

    @property
    def _some(self) -> Array:
        return np.zeros((1, 2)) if self._resampled is None else self._resampled


class Records:
    """A metric of all samples together: what it keeps of each is held."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.latest: float | None = None
        self.records: list[Any] = []
        self._marks: list[int] = []
        self._each: Array | None = None

    def add(self, answer: Answer, index: int) -> None:  # noqa: ARG002 - the order is the same for all models
        """Takes in one sample."""
        assert self.metric.record is not None  # noqa: S101 - see tally_of
        self.records.append(self.metric.record(answer))
        self._marks.append(_mark(*(p for p in self.records[-1] if isinstance(p, np.ndarray))))
        self._each = None

    def merge(self, following: Records) -> None:
        """Takes in the samples that follow."""
        self.records += following.records
        self._marks += following._marks
        self._each = None

    @property
    def scores(self) -> Array | None:
        """One score a sample where the metric is a mean of such."""
        if self.metric.each is None:
            return None
        if self._each is None:
            self._each = self.metric.each(self.records)
        return self._each

    def estimate(self) -> Estimate:
        """Return the metric with its interval."""
        scores = self.scores
        if scores is not None:
            return mean_score(scores)
        assert self.metric.whole is not None  # noqa: S101 - see tally_of
        value = self.metric.whole(self.records, None)
        if len(self.records) < _FEWEST_SAMPLES:
            return value, None, None
        resampled = np.array([self.metric.whole(self.records, w) for w in self._weights()])
        return value, *_spread(value, resampled, len(self.records))

    def change(self, reference: Records) -> Change:
        """Return the difference, and its percentiles where both models are resampled alike."""
        sign, whole, scores = self.metric.sign, self.metric.whole, self.scores
        if scores is not None and reference.scores is not None:
            return paired_change(reference.scores, scores, sign)
        assert whole is not None  # noqa: S101 - see tally_of
        value = sign * (whole(self.records, None) - whole(reference.records, None))
        if len(self.records) < _FEWEST_SAMPLES:
            return Change(value, None, None)
        pairs = [whole(self.records, w) - whole(reference.records, w) for w in self._weights()]
        return _changed(value, sign * np.array(pairs), (reference._marks, self._marks), self.metric)

    def _weights(self) -> list[Array]:
        """How often each sample counts in each resample: drawn with replacement, by the seed."""
        count = len(self.records)
        random = np.random.default_rng(0)
        draws = random.integers(0, count, (_RESAMPLES_OF_RECORDS, count))
        return [np.bincount(draw, minlength=count).astype(np.float64) for draw in draws]


def counts_of(index: int, rows: int) -> Array:
    """Return how often a sample counts in each resample; equal for equal indices."""
    return np.asarray(np.random.default_rng([0, index]).poisson(1.0, rows), np.float64)


def _mark(*arrays: Array) -> int:
    """Eight bytes that identify a sample's answer."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return int.from_bytes(digest.digest(), "little")


def _spread(value: float, resampled: Array, samples: int) -> tuple[float, float]:
    """The percentiles of resampled values, their distance from the estimate widened for few samples."""
    low, high = np.quantile(resampled, _PAIR)
    wider = student_quantile(0.95, samples - 1) / student_quantile(0.95, 10**9)
    wider *= math.sqrt(samples / (samples - 1))
    return min(value, value + wider * (float(low) - value)), max(value, value + wider * (float(high) - value))


def _changed(value: float, differences: Array, marks: tuple[list[int], list[int]], metric: Metric) -> Change:
    """The change with its interval, which is never narrower than the samples can show."""
    samples = len(marks[0])
    low, high = _spread(value, differences, samples)
    changed = sum(a != b for a, b in zip(*marks, strict=True))
    if metric.unit == SHARE and changed < _FEWEST_CHANGED:
        half = unchanged_half(samples)
        low, high = min(low, value - half), max(high, value + half)
    return Change(value + 0.0, low, high)


def tally_of(metric: Metric, first: int = 0) -> MeanTally | Sums | Records:
    """Return an empty tally of the metric's kind.

    Args:
        metric: what it collects.
        first: number of the first sample, for a shard.
    """
    if metric.score is not None:
        return MeanTally(metric)
    return Sums(metric, first) if metric.sums is not None else Records(metric)

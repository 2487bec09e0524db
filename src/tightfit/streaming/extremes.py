"""Observers that run in the runtime's child: extremes of activations and the decisions of outputs.

Constant memory for a tensor, a few numbers a sample for an output. NumPy only, as the child imports it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float32]

_INT8_STEPS: Final = 255.0
_FEW_STEPS: Final = 10.0
"""So many steps of a uniform value leave noise of a hundredth of its spread."""

_MOST_ENTRIES: Final = 1024
_ENDS: Final = 1e-6
_LONG: Final = 1024
_ROWS: Final = 3000


class Extremes:
    """Lowest and highest values of a tensor: by channel, for each half of the samples, and who set them.

    Of large feature maps every few positions are looked at: extremes are compared with each other only.
    The halves interleave (the samples 0, 1, 4, 5 … of two children are one), so that data sorted by class
    does not look as if its ranges moved.

    Attributes:
        count: samples seen. low, high: (2, channels), the extremes of each half.
        highs, lows: the two most extreme (value, sample) of all.
    """

    def __init__(self) -> None:
        self.count = 0
        self.low: npt.NDArray[np.float64] | None = None
        self.high: npt.NDArray[np.float64] | None = None
        self.highs: list[tuple[float, int]] = []
        self.lows: list[tuple[float, int]] = []

    def update(self, values: npt.NDArray[Any]) -> None:
        """Takes in one sample's tensor; one with NaN or infinity is counted only."""
        rows = values.reshape(-1, values.shape[-1] if values.ndim else 1)
        rows = rows[:: _step(len(rows))]
        place, self.count = self.count, self.count + 1
        if not rows.size:
            return
        low, high = by_channel(rows, np.minimum), by_channel(rows, np.maximum)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            return
        if self.low is None or self.high is None:
            self.low, self.high = np.full((2, low.size), np.inf), np.full((2, low.size), -np.inf)
        half = place % 2
        self.low[half] = np.minimum(self.low[half], low)
        self.high[half] = np.maximum(self.high[half], high)
        self.highs = sorted([*self.highs, (float(high.max()), place)], reverse=True)[:2]
        self.lows = sorted([*self.lows, (float(low.min()), place)])[:2]

    def merge(self, others: Sequence[Extremes]) -> None:
        """Puts together what several saw; sample j of the k-th of n was sample ``j * n + k``."""
        runs = [self, *others]
        n = len(runs)
        highs = [(v, j * n + k) for k, lane in enumerate(runs) for v, j in lane.highs]
        lows = [(v, j * n + k) for k, lane in enumerate(runs) for v, j in lane.lows]
        self.highs, self.lows = sorted(highs, reverse=True)[:2], sorted(lows)[:2]
        self.count = sum(lane.count for lane in runs)
        seen = [(lane.low, lane.high) for lane in runs if lane.low is not None and lane.high is not None]
        if seen:
            self.low = np.min([low for low, _ in seen], axis=0)
            self.high = np.max([high for _, high in seen], axis=0)

    @property
    def dead(self) -> int:
        """Channels with one value in all samples."""
        if self.low is None or self.high is None:
            return 0
        return int((self.low.min(axis=0) == self.high.max(axis=0)).sum())

    def width(self, half: int | None = None) -> tuple[float, float]:
        """The range with zero in it, of all samples or of one half."""
        if self.low is None or self.high is None:
            return 0.0, 0.0
        low, high = (self.low, self.high) if half is None else (self.low[half], self.high[half])
        return min(float(low.min()), 0.0), max(float(high.max()), 0.0)

    def lone(self) -> tuple[int, float]:
        """The sample without which the range shrinks most, and by what factor."""
        low, high = self.width()
        best = (0, 1.0)
        for sample in {s for _, s in (*self.highs[:1], *self.lows[:1])}:
            rest_high = max((v for v, s in self.highs if s != sample), default=0.0)
            rest_low = min((v for v, s in self.lows if s != sample), default=0.0)
            rest = max(rest_high, 0.0) - min(rest_low, 0.0)
            ratio = (high - low) / rest if rest > 0 else (math.inf if high > low else 1.0)
            best = max(best, (sample, ratio), key=lambda pair: pair[1])
        return best


def _step(rows: int) -> int:
    """An odd step that leaves about 3,000 rows; feature maps are mostly of even width."""
    return max(1, rows // _ROWS) | 1 if rows > _ROWS else 1


def by_channel(rows: npt.NDArray[Any], extreme: np.ufunc) -> npt.NDArray[np.float64]:
    """The extreme of each column, over long rows first: NumPy is 3 times as fast on them.

    Example:
        >>> by_channel(np.array([[1.0, 5.0], [4.0, 2.0], [3.0, 3.0]]), np.maximum).tolist()
        [4.0, 5.0]
    """
    count, channels = rows.shape
    fold = max(1, min(count, _LONG // channels))
    whole = count - count % fold
    folded = extreme.reduce(rows[:whole].reshape(whole // fold, fold * channels), axis=0)
    parts = [extreme.reduce(folded.reshape(fold, channels), axis=0), *rows[whole:]]
    return np.asarray(extreme.reduce(np.stack(parts), axis=0), np.float64)


class Answers:
    """What an output said: for each sample its decision and confidence, and how far entries ever moved.

    Attributes:
        answers: (largest entry's index, its probability) a sample, when the output is one row of scores.
        bad, saturated: samples, see ``OutputFacts``.
    """

    def __init__(self) -> None:
        self.count = self.bad = self.saturated = 0
        self.answers: list[tuple[int, float]] = []
        self.columns, self.shape = 0, tuple[int, ...]()
        self.low: npt.NDArray[np.float64] | None = None
        self.high: npt.NDArray[np.float64] | None = None

    def update(self, values: npt.NDArray[Any]) -> None:
        """Takes in one sample's output."""
        self.count += 1
        self.columns, self.shape = values.shape[-1] if values.ndim else 1, values.shape
        reals = np.asarray(values, np.float64).reshape(-1)
        if values.ndim and values.size == values.shape[-1] > 1:
            probability = probabilities(reals)
            place = int(np.argmax(reals))
            self.answers.append((place, float(probability[place])))
        if not np.isfinite(reals).all():
            self.bad += 1
            return
        ends = np.abs(reals - np.clip(np.rint(reals), -1, 1))
        self.saturated += bool(values.dtype.kind == "f" and reals.size and ends.max() < _ENDS)
        if self.low is None or self.high is None or self.low.shape != reals.shape:
            self.low, self.high = reals.copy(), reals.copy()
        self.low, self.high = np.minimum(self.low, reals), np.maximum(self.high, reals)

    def merge(self, others: Sequence[Answers]) -> None:
        """Puts together what several saw, in the order of the samples."""
        runs = [self, *others]
        turns = itertools.zip_longest(*(lane.answers for lane in runs))
        self.answers = [a for turn in turns for a in turn if a is not None]
        for name in ("count", "bad", "saturated"):
            setattr(self, name, sum(getattr(lane, name) for lane in runs))
        self.columns = max(lane.columns for lane in runs)
        self.shape = max((lane.shape for lane in runs), key=len)
        for other in others:
            if other.low is None or other.high is None:
                continue
            if self.low is None or self.high is None or self.low.shape != other.low.shape:
                self.low, self.high = other.low, other.high
            self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)

    @property
    def dead(self) -> tuple[int, int]:
        """Entries of the last axis with one value at all places in all samples, and how many there are."""
        if self.low is None or self.high is None or not self.columns:
            return 0, 0
        low = self.low.reshape(-1, self.columns).min(axis=0)
        return int((low == self.high.reshape(-1, self.columns).max(axis=0)).sum()), self.columns

    @property
    def crushed(self) -> tuple[int, int, float, float] | None:
        """The entries of an axis that vary by less than ten int8 steps of the whole output.

        Returns:
            How many there are, the first, how far it varies, the step; None without one. Probabilities of one
            decision are left out, as a class may be rare.
        """
        if self.low is None or self.high is None or not self.columns or not self.low.size:
            return None
        step = (max(float(self.high.max()), 0.0) - min(float(self.low.min()), 0.0)) / _INT8_STEPS
        if self.low.min() >= 0 and self.high.max() <= 1:
            return None
        for axis in {len(self.shape) - 1, 1} if len(self.shape) > 1 else ():
            low, high = (
                np.moveaxis(ends.reshape(self.shape), axis, 0).reshape(self.shape[axis], -1)
                for ends in (self.low, self.high)
            )
            spans = high.max(axis=1) - low.min(axis=1)
            places = np.flatnonzero((spans > 0) & (spans < _FEW_STEPS * step))
            if 0 < len(places) < len(spans) <= _MOST_ENTRIES:
                return len(places), int(places[0]), float(spans[places[0]]), step
        return None

    @property
    def variation(self) -> float:
        """Largest change of an entry ÷ largest magnitude."""
        if self.low is None or self.high is None or not self.low.size:
            return 1.0
        size = float(np.maximum(np.abs(self.low), np.abs(self.high)).max())
        return float((self.high - self.low).max()) / size if size else 0.0


def probabilities(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scores as probabilities: as they are when they sum to one without negatives, else their softmax.

    Example:
        >>> probabilities(np.array([0.25, 0.75])).tolist(), probabilities(np.array([2.0, 2.0])).tolist()
        ([0.25, 0.75], [0.5, 0.5])
    """
    if not np.isfinite(scores).all():
        return np.full(scores.shape, 1 / scores.size)
    if scores.min() >= 0 and abs(float(scores.sum()) - 1) < 0.02:
        return scores
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum())

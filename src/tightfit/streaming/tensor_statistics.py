"""What calibration saw of one tensor, in constant memory: extremes, their average, a histogram.

One pass over the samples serves every observer and every number of bits, so ranges can be chosen
afterwards without running the model again. Imported by the runtime's child process: NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BINS: Final = 8192
SUBSAMPLE: Final = 2048
_FLUSH: Final = 16384
_MOMENTUM: Final = 0.1
# Below it, bins per unit would overflow float32; such values are zero for every integer type.
_SMALLEST_REACH: Final = 2.0**-100


class Statistics:
    """The running statistics of a tensor over samples.

    Attributes:
        low, high: the extremes, exact over every value seen.
        average_low, average_high: exponential moving averages of each sample's extremes (momentum 0.1).
        counts: histogram of a strided subsample of each sample, over [-reach, reach) in 8,192 bins;
            ``reach`` is a power of two that grows by merging bins, which is exact. Read it by
            ``histogram``: values wait in ``pending`` until there are enough to count them at once.
        waiting: how many values are pending.
        detailed: whether the histogram is taken; without it an update takes a third less time.
        samples: number of updates.
        bad: number of samples with NaN or infinity (left out).
    """

    __slots__ = (
        "average_high", "average_low", "bad", "counts", "detailed", "high", "low", "pending", "reach",
        "samples", "waiting",
    )  # fmt: skip

    def __init__(self, *, detailed: bool = True) -> None:
        self.detailed = detailed
        self.low = math.inf
        self.high = -math.inf
        self.average_low = 0.0
        self.average_high = 0.0
        self.reach = 0.0
        self.counts: npt.NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.pending: list[npt.NDArray[np.float32]] = []
        self.waiting = 0
        self.samples = 0
        self.bad = 0

    def update(self, values: npt.NDArray[Any]) -> None:
        """Adds one sample's tensor."""
        if values.size == 0:
            return
        flat = np.asarray(values, np.float32).reshape(-1)
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            self.bad += 1
            return
        self._average(low, high)
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.samples += 1
        if self.detailed:
            self._keep(flat)

    def _keep(self, flat: npt.NDArray[np.float32]) -> None:
        """Puts a strided subsample into the queue for the histogram."""
        chosen = flat[:: _stride(flat.size)].copy()
        self.pending.append(chosen)
        self.waiting += chosen.size
        if self.waiting >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        """Counts the pending values."""
        if self.pending:
            self._grow(max(-self.low, self.high))
            self._count(np.concatenate(self.pending))
            self.pending, self.waiting = [], 0

    def _average(self, low: float, high: float) -> None:
        if self.samples == 0:
            self.average_low, self.average_high = low, high
            return
        self.average_low += _MOMENTUM * (low - self.average_low)
        self.average_high += _MOMENTUM * (high - self.average_high)

    def _grow(self, magnitude: float) -> None:
        """Doubles the reach until it exceeds ``magnitude``."""
        if magnitude >= self.reach and magnitude > 0.0:
            self._stretch(max(2.0 ** math.frexp(magnitude)[1], _SMALLEST_REACH))

    def _stretch(self, reach: float) -> None:
        """Takes a greater power of two as the reach; each doubling merges neighbouring bins."""
        if 0.0 < self.reach < reach:
            factor = min(round(reach / self.reach), BINS // 2)
            merged = self.counts.reshape(-1, factor).sum(axis=1)
            self.counts = np.zeros(BINS, np.int64)
            start = (BINS - merged.size) // 2
            self.counts[start : start + merged.size] = merged
        self.reach = reach

    def _count(self, values: npt.NDArray[np.float32]) -> None:
        if not self.reach:
            self.counts[BINS // 2] += values.size
            return
        # Scaling by a power of two and flooring are exact, so that merged bins equal bins counted at once.
        places = np.floor(values * np.float32(BINS / 2 / self.reach)).astype(np.int32)
        self.counts += np.bincount(places + BINS // 2, minlength=BINS)

    def merge(self, others: Sequence[Statistics]) -> None:
        """Adds what others saw: exact for extremes and histogram, weighted by samples for the averages."""
        for other in others:
            self.bad += other.bad
            if other.samples:
                self._add(other)

    def _add(self, other: Statistics) -> None:
        share = other.samples / (self.samples + other.samples)
        self.average_low += share * (other.average_low - self.average_low)
        self.average_high += share * (other.average_high - self.average_high)
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.samples += other.samples
        reach = 0.0
        for one in (self, other):
            one._flush()  # noqa: SLF001 - of its own class
            reach = max(reach, one.reach)
        for one in (self, other):
            one._stretch(reach)  # noqa: SLF001 - of its own class
        self.counts += other.counts

    def histogram(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return (counts, centres) of the bins between the extremes."""
        self._flush()
        width = 2 * (self.reach or 1.0) / BINS
        centres = (np.arange(BINS) + 0.5) * width - (self.reach or 1.0)
        inside = (centres > self.low - width) & (centres < self.high + width)
        return self.counts[inside], np.clip(centres[inside], self.low, self.high)


def _stride(size: int) -> int:
    """A step that takes about ``SUBSAMPLE`` values and, coprime to the size, of every channel and column."""
    step = max(1, size // SUBSAMPLE)
    while math.gcd(step, size) > 1:
        step += 1
    return step


class Watch:
    """Watches one output in the runtime's child: its statistics, and copies of some arrays.

    Args:
        statistics: whether ranges are wanted.
        keep: how many of the first arrays to keep.
        more_bytes: further arrays are kept while all that passed have no more bytes.
        most: how many of these are kept: every second one goes when there are more, so that those left
            are spread over all samples.
        in_order: the first ones stay instead, as a call of a model with state depends on those before.
        detailed: whether histograms are wanted.

    Attributes:
        kept: sample number → array.
        answered: all samples below this number passed while arrays were kept.
    """

    def __init__(
        self,
        *,
        statistics: bool = True,
        keep: int = 0,
        more_bytes: int = 0,
        most: int = 128,
        in_order: bool = False,
        detailed: bool = True,
    ) -> None:
        self.statistics = Statistics(detailed=detailed) if statistics else None
        self.keep, self.more_bytes, self.most, self.in_order = keep, more_bytes, most, in_order
        self.held, self.answered, self.step = 0, 0, 1
        self.lane, self.lanes = 0, 1
        self.kept: dict[int, npt.NDArray[Any]] = {}

    def place(self, lane: int, lanes: int) -> None:
        """Set which samples it sees: ``lane``, ``lane + lanes``, ``lane + 2 * lanes`` and so on."""
        self.lane, self.lanes = lane, lanes

    def update(self, values: npt.NDArray[Any]) -> None:
        """Takes in one sample's tensor."""
        if self.statistics is not None:
            self.statistics.update(values)
        self.held += values.nbytes
        if self.answered < self.keep or self.held <= self.more_bytes:
            self._keep(self.lane + self.lanes * self.answered, values)
            self.answered += 1

    def _keep(self, number: int, values: npt.NDArray[Any]) -> None:
        if number >= self.keep and self.in_order and number >= self.most:
            return
        while number >= self.most * self.step and not self.in_order:
            self.step *= 2
            self.kept = {i: a for i, a in self.kept.items() if i < self.keep or not i % self.step}
        if number < self.keep or not number % self.step:
            self.kept[number] = values.copy()

    def merge(self, others: Sequence[Watch]) -> None:
        """Puts the findings of watches together that saw every n-th sample each."""
        if self.statistics is not None:
            self.statistics.merge([o.statistics for o in others if o.statistics is not None])
        lanes = (self, *others)
        step, kept = max(o.step for o in lanes), {i: a for o in lanes for i, a in o.kept.items()}
        # Where one of them stopped to keep, what follows is not in the order of the samples.
        self.answered = min(o.lane + o.lanes * o.answered for o in lanes)
        end = self.answered if self.more_bytes else self.keep
        self.kept = {i: kept[i] for i in sorted(kept) if i < end and (i < self.keep or not i % step)}

"""The columns of an input over samples: extremes and deviations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

INT8_STEPS: Final = 255.0

POOR_DB: Final = 20.0
"""A column that varies by less than ten roundings of the input's scale is poorly held."""


_ROWS: Final = 1000


@dataclass
class Columns:
    """What was seen of the entries of an input's last axis.

    Args:
        low: extremes.
        high: see ``low``.
        deviation: standard deviation of each entry.
    """

    low: Vector
    high: Vector
    deviation: Vector

    @classmethod
    def of(cls, arrays: Iterable[npt.NDArray[Any]]) -> Columns:
        """Return the columns of some samples of one input."""
        sums = ColumnSums()
        for array in arrays:
            sums.add(array)
        return sums.columns()

    def poor(self, steps: float = INT8_STEPS) -> npt.NDArray[np.bool_]:
        """Return True for each column that varies, and that one scale of so many steps holds below 20 dB."""
        if not self.low.size:
            return np.zeros(0, bool)
        step = (max(float(self.high.max()), 0.0) - min(float(self.low.min()), 0.0)) / steps
        varies = self.deviation > 1e-6 * np.maximum(np.abs(self.low), np.abs(self.high))
        noise = step**2 / 12
        return np.asarray(varies & (np.square(self.deviation) < noise * 10 ** (POOR_DB / 10)))


class ColumnSums:
    """The columns of an input over samples, in constant memory.

    Example:
        >>> sums = ColumnSums()
        >>> sums.add(np.float32([[1, 10], [3, 10]]))
        >>> sums.columns().deviation.tolist()
        [1.0, 0.0]
    """

    def __init__(self) -> None:
        self.count = 0
        self.low = self.high = self.total = self.squares = np.zeros(0)

    def add(self, array: npt.NDArray[Any]) -> None:
        """Take in one sample; rows with NaN or infinity do not count."""
        rows = np.asarray(array).reshape(-1, array.shape[-1] if array.ndim else 1)
        # Of pictures every few positions are looked at: an odd step, as they are mostly of even width.
        step = len(rows) // _ROWS | 1 if len(rows) > _ROWS else 1
        rows = rows[::step].astype(np.float64)
        rows = rows[np.isfinite(rows).all(axis=1)]
        if not len(rows) or (self.count and rows.shape[1] != self.low.size):
            return
        found = rows.min(axis=0), rows.max(axis=0), rows.sum(axis=0), np.square(rows).sum(axis=0)
        if not self.count:
            self.low, self.high, self.total, self.squares = found
        else:
            self.low, self.high = np.minimum(self.low, found[0]), np.maximum(self.high, found[1])
            self.total, self.squares = self.total + found[2], self.squares + found[3]
        self.count += len(rows)

    def columns(self) -> Columns:
        """Return extremes and deviations."""
        count = max(self.count, 1)
        variance = self.squares / count - np.square(self.total / count)
        return Columns(self.low, self.high, np.sqrt(np.maximum(variance, 0.0)))

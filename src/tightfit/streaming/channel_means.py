"""The mean of every channel of a tensor over samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tightfit.streaming.moments import MomentWindow, vectors

Matrix = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]


class ChannelMean:
    """An observer of one tensor: the mean of every channel over the positions that ``vectors`` takes."""

    def __init__(self) -> None:
        self.total: Vector = np.zeros(1)
        self.rows = 0

    def update(self, values: Matrix) -> None:
        """Add one sample."""
        seen = vectors(values, MomentWindow())
        self.total = self.total + seen.sum(axis=0, dtype=np.float64)
        self.rows += len(seen)

    def merge(self, others: Sequence[ChannelMean]) -> None:
        """Add the statistics of other observers."""
        for other in others:
            self.total, self.rows = self.total + other.total, self.rows + other.rows

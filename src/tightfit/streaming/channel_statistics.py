"""Statistics of each channel of a tensor. The child process imports this module, so it uses NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class ChannelStatistics:
    """The extremes and the power of each channel (the last axis) over samples.

    Attributes:
        low: least value, (channels,); empty before the first sample.
        high: largest value, (channels,); empty before the first sample.
        power: sum of squares, (channels,).
        rows: number of values of each channel.
    """

    def __init__(self) -> None:
        self.low: npt.NDArray[np.float64] = np.zeros(0)
        self.high: npt.NDArray[np.float64] = np.zeros(0)
        self.power: npt.NDArray[np.float64] = np.zeros(0)
        self.rows = 0

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Add one sample's tensor."""
        flat = values.reshape(-1, values.shape[-1] if values.ndim else 1)
        if not flat.size:
            return
        power = np.einsum("ij,ij->j", flat, flat).astype(np.float64)
        self._add(flat.min(axis=0).astype(np.float64), flat.max(axis=0).astype(np.float64), power, len(flat))

    def merge(self, others: Sequence[ChannelStatistics]) -> None:
        """Add the statistics of other observers."""
        for other in others:
            if other.rows:
                self._add(other.low, other.high, other.power, other.rows)

    def _add(
        self,
        low: npt.NDArray[np.float64],
        high: npt.NDArray[np.float64],
        power: npt.NDArray[np.float64],
        rows: int,
    ) -> None:
        first = not self.rows
        self.low = low if first else np.minimum(self.low, low)
        self.high = high if first else np.maximum(self.high, high)
        self.power = power if first else self.power + power
        self.rows += rows

    @property
    def largest(self) -> npt.NDArray[np.float64]:
        """Return the largest magnitude of each channel, (channels,)."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    @property
    def total_power(self) -> float:
        """Return the sum of squares of all channels."""
        return float(self.power.sum())

    @property
    def mean_square(self) -> npt.NDArray[np.float64]:
        """Return ``E[x²]`` of each channel, (channels,)."""
        return self.power / max(self.rows, 1)

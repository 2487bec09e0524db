"""Moments of inputs and their products with wanted outputs, for least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

_BIAS_PULL: Final = 1e-4 * 1e-4
"""λ of the bias, which is not regularized but for the solver's sake."""

_WAITING_BYTES: Final = 16_000_000


class CrossMoments:
    """Streamed second moments of the inputs, and their products with the wanted outputs.

    Rows are buffered and multiplied in large batches: adding K × K numbers for each sample takes longer than
    the product, and BLAS starts its threads for each product. Products are float32, their sums float64.

    Args:
        target: see ``Fit``.

    Attributes:
        rows: number of rows added.
    """

    def __init__(self, target: Callable[[Rows], Rows]) -> None:
        self._target = target
        self._moments: Matrix = np.zeros((1, 1))
        self._cross: Matrix = np.zeros((1, 1))
        self._waiting: list[tuple[Rows, Rows]] = []
        self._bytes = 0
        self.rows = 0

    def add(self, given: Rows, shown: Rows) -> None:
        """Add the rows of one sample."""
        self._waiting.append((given, shown))
        self._bytes += given.nbytes + shown.nbytes
        self.rows += given.shape[-2]
        if self._bytes > _WAITING_BYTES:
            self._settle()

    def _settle(self) -> None:
        if self._waiting:
            given, shown = (np.concatenate(several, axis=-2) for several in zip(*self._waiting, strict=True))
            turned = given.swapaxes(-1, -2)
            self._moments = self._moments + turned @ given
            self._cross = self._cross + turned @ self._target(shown)
            self._waiting, self._bytes = [], 0

    @property
    def moments(self) -> Matrix:
        """Return the sum of x̃x̃ᵀ, (K + 1, K + 1), or (channels, K + 1, K + 1) for depthwise."""
        self._settle()
        return self._moments

    @property
    def cross(self) -> Matrix:
        """Return the sum of x̃tᵀ, (K + 1, outputs)."""
        self._settle()
        return self._cross

    def plus(self, other: CrossMoments) -> CrossMoments:
        """Return the sums of both."""
        both = CrossMoments(self._target)
        both._moments, both._cross = self.moments + other.moments, self.cross + other.cross
        both.rows = self.rows + other.rows
        return both

    def error(self, weights: Matrix) -> float:
        """Return ``Σ |t − W·x̃|² − Σ |t|²``, the squared error up to a constant."""
        columns = weights.swapaxes(-1, -2)
        return float(np.sum(columns * (self.moments @ columns)) - 2 * np.sum(columns * self.cross))

    def solve(self, start: Matrix, pull: float) -> Matrix:
        """Return the ridge solution, regularized by ``pull`` towards ``start``; the bias (last) is free."""
        size = self.moments.shape[-1]
        scale = np.trace(self.moments, axis1=-2, axis2=-1)[..., None, None] / size
        strength = np.eye(size)
        strength[-1, -1] = _BIAS_PULL
        pulled = pull * np.maximum(scale, 1e-12) * strength
        columns = np.linalg.solve(self.moments + pulled, self.cross + pulled @ start.swapaxes(-1, -2))
        return np.asarray(columns.swapaxes(-1, -2))

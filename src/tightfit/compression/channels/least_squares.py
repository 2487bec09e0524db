"""Fit the weights of a layer to its wanted outputs by ridge regression towards the old weights.

    W' = argmin Σ |t − W'·x̃'|² + λ |W' − W|²

with x̃' = (x', 1) the input in the pruned graph, t the wanted output of the original before its activation,
and W the kept weights; the bias is not regularized. λ is chosen by the error on every fourth sample, which is
held out of the fit: a classifier fitted to few images would otherwise lose the classes that they do not show.
Sums are streamed, so memory holds only K × K numbers.
Source: He, Zhang and Sun 2017, "Channel Pruning for Accelerating Very Deep Neural Networks", section 3.1.
Departures: the regularization λ, and that it is towards the old weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.channels.channel_moments import Matrix
from tightfit.quantization.calibration.moments import MomentWindow

Rows = npt.NDArray[np.float32]

PULLS: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Values of λ in units of the mean square of an input."""
_HELD_OUT: Final = 4
_WAITING_BYTES: Final = 16_000_000


class Sums:
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

    def plus(self, other: Sums) -> Sums:
        """Return the sums of both."""
        both = Sums(self._target)
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
        strength[-1, -1] = PULLS[0] * PULLS[0]
        pulled = pull * np.maximum(scale, 1e-12) * strength
        columns = np.linalg.solve(self.moments + pulled, self.cross + pulled @ start.swapaxes(-1, -2))
        return np.asarray(columns.swapaxes(-1, -2))


class Fit:
    """The regression of one layer, with held-out samples that choose λ.

    Args:
        window: the window of the input that one output is computed from.
        target: returns the wanted outputs, (rows, outputs) or (channels, rows, 1), from the ``shown`` rows
            of ``update``.
    """

    def __init__(self, window: MomentWindow, target: Callable[[Rows], Rows]) -> None:
        self.window = window
        self.fitted, self.held = Sums(target), Sums(target)
        self.samples = 0

    @property
    def rows(self) -> int:
        """The number of rows added."""
        return self.fitted.rows + self.held.rows

    def update(self, given: Rows, shown: Rows) -> None:
        """Add one sample.

        Args:
            given: the input rows of ``moments.extended``, (rows, K + 1), or (channels, rows, K + 1) for
                depthwise.
            shown: the values from which ``target`` computes the wanted outputs, as many rows.
        """
        self.samples += 1
        (self.held if self.samples % _HELD_OUT == 0 else self.fitted).add(given, shown)

    def solve(self, weights: Matrix) -> Matrix:
        """Return the fitted weights, (outputs, K + 1) or (channels, 1, K + 1), the bias last.

        Args:
            weights: the kept weights of the layer before the fit, in the shape of the result.
        """
        if not self.held.rows:
            return self.fitted.solve(weights, PULLS[-1])
        best = downhill(lambda i: self.held.error(self.fitted.solve(weights, PULLS[i])), len(PULLS))
        return self.fitted.plus(self.held).solve(weights, PULLS[best])


def downhill(error: Callable[[int], float], count: int) -> int:
    """Return the index in 0 … count − 1 of the local minimum of an error, searched from the middle.

    Example:
        >>> asked = []
        >>> downhill(lambda i: asked.append(i) or (i - 2) ** 2, 7), asked
        (2, [3, 2, 4, 1])
    """
    known: dict[int, float] = {}

    def at(place: int) -> float:
        if place not in known:
            known[place] = error(place)
        return known[place]

    place = count // 2
    while True:
        near = [i for i in (place, place - 1, place + 1) if 0 <= i < count]
        best = min(near, key=at)
        if best == place:
            return place
        place = best

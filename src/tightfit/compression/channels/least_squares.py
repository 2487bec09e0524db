"""Weights of a layer fitted by least squares to what it was meant to give.

    W' = argmin Σ |t − W'·x̃'|² + λ |W' − W|²

with x̃' = (x', 1) the input in the pruned graph, t the wanted output before its activation in the original
one, and W the weights that the layer would have kept; the bias is not pulled. λ is the one that does best on
every fourth sample, which the others know nothing of: a classifier fitted to few photos would otherwise
forget the classes that are on none of them. Sums are streamed, so only K × K numbers are held.

Source: He, Zhang and Sun 2017, "Channel Pruning for Accelerating Very Deep Neural Networks", section 3.1.
Departures: the pull λ, and that it is towards the old weights.
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
    """Moments of inputs and their products with what is wanted.

    Rows wait until they are worth a product: adding K × K numbers for each sample takes longer than the
    product itself, and BLAS wakes its threads for each. Products are float32, sums of them float64.

    Args:
        target: see ``Fit``.

    Attributes:
        rows: how many were added.
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
        """The inputs' products, (K + 1, K + 1), or (channels, K + 1, K + 1) for depthwise."""
        self._settle()
        return self._moments

    @property
    def cross(self) -> Matrix:
        """The products of inputs and outputs, (K + 1, outputs)."""
        self._settle()
        return self._cross

    def plus(self, other: Sums) -> Sums:
        """Return the sums of both."""
        both = Sums(self._target)
        both._moments, both._cross = self.moments + other.moments, self.cross + other.cross
        both.rows = self.rows + other.rows
        return both

    def error(self, weights: Matrix) -> float:
        """Return Σ |t − W·x̃|² less Σ |t|²."""
        columns = weights.swapaxes(-1, -2)
        return float(np.sum(columns * (self.moments @ columns)) - 2 * np.sum(columns * self.cross))

    def solve(self, start: Matrix, pull: float) -> Matrix:
        """Return the weights of least squares with a pull towards ``start``, the bias last and free."""
        size = self.moments.shape[-1]
        scale = np.trace(self.moments, axis1=-2, axis2=-1)[..., None, None] / size
        strength = np.eye(size)
        strength[-1, -1] = PULLS[0] * PULLS[0]
        pulled = pull * np.maximum(scale, 1e-12) * strength
        columns = np.linalg.solve(self.moments + pulled, self.cross + pulled @ start.swapaxes(-1, -2))
        return np.asarray(columns.swapaxes(-1, -2))


class Fit:
    """The least squares of one layer, and the samples that judge them.

    Args:
        window: how the layer walks over its input.
        target: gives the wanted outputs, (rows, outputs) or (channels, rows, 1), of what was shown of rows.
    """

    def __init__(self, window: MomentWindow, target: Callable[[Rows], Rows]) -> None:
        self.window = window
        self.fitted, self.held = Sums(target), Sums(target)
        self.samples = 0

    @property
    def rows(self) -> int:
        """How many rows were seen."""
        return self.fitted.rows + self.held.rows

    def update(self, given: Rows, shown: Rows) -> None:
        """Add one sample: rows of ``moments.extended`` and what their target is made of.

        Args:
            given: (rows, K + 1), or (channels, rows, K + 1) for depthwise.
            shown: as many rows.
        """
        self.samples += 1
        (self.held if self.samples % _HELD_OUT == 0 else self.fitted).add(given, shown)

    def solve(self, weights: Matrix) -> Matrix:
        """Return the fitted weights, (outputs, K + 1) or (channels, 1, K + 1), the bias last.

        Args:
            weights: what the layer would have kept, in that shape.
        """
        if not self.held.rows:
            return self.fitted.solve(weights, PULLS[-1])
        best = downhill(lambda i: self.held.error(self.fitted.solve(weights, PULLS[i])), len(PULLS))
        return self.fitted.plus(self.held).solve(weights, PULLS[best])


def downhill(error: Callable[[int], float], count: int) -> int:
    """Return where an error of 0 … count - 1 is least, from the middle down to its nearest minimum.

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

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

from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.channel_moments import Matrix
from tightfit.recovery.moments import Window

Rows = npt.NDArray[np.float32]

PULLS: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Values of λ in units of the mean square of an input."""
_HELD_OUT: Final = 4


class Sums:
    """Moments of inputs and their products with what is wanted.

    Attributes:
        moments: (K + 1, K + 1), or (channels, K + 1, K + 1) for depthwise. cross: (K + 1, outputs).
        rows: how many were added.
    """

    def __init__(self) -> None:
        self.moments: Matrix = np.zeros((1, 1))
        self.cross: Matrix = np.zeros((1, 1))
        self.rows = 0

    def add(self, given: Rows, wanted: Rows) -> None:
        """Adds the rows of one sample."""
        self.moments = self.moments + given.swapaxes(-1, -2) @ given
        self.cross = self.cross + given.swapaxes(-1, -2) @ wanted
        self.rows += given.shape[-2]

    def plus(self, other: Sums) -> Sums:
        """Gives the sums of both."""
        both = Sums()
        both.moments, both.cross = self.moments + other.moments, self.cross + other.cross
        both.rows = self.rows + other.rows
        return both

    def error(self, weights: Matrix) -> float:
        """Gives Σ |t − W·x̃|² less Σ |t|²."""
        columns = weights.swapaxes(-1, -2)
        return float(np.sum(columns * (self.moments @ columns)) - 2 * np.sum(columns * self.cross))

    def solve(self, start: Matrix, pull: float) -> Matrix:
        """Gives the weights of least squares with a pull towards ``start``, the bias last and free."""
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
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.fitted, self.held = Sums(), Sums()
        self.samples = 0

    @property
    def rows(self) -> int:
        """How many rows were seen."""
        return self.fitted.rows + self.held.rows

    def update(self, given: Rows, wanted: Rows) -> None:
        """Adds one sample: rows of ``recovery.moments.extended`` and the outputs wanted for them.

        Args:
            given: (rows, K + 1), or (channels, rows, K + 1) for depthwise.
            wanted: (rows, outputs), or (channels, rows, 1).
        """
        self.samples += 1
        (self.held if self.samples % _HELD_OUT == 0 else self.fitted).add(given, wanted)

    def solve(self, weights: Matrix) -> Matrix:
        """Gives the fitted weights, (outputs, K + 1) or (channels, 1, K + 1), the bias last.

        Args:
            weights: what the layer would have kept, in that shape.
        """
        if not self.held.rows:
            return self.fitted.solve(weights, PULLS[-1])
        errors = [self.held.error(self.fitted.solve(weights, pull)) for pull in PULLS]
        both = self.fitted.plus(self.held)
        return both.solve(weights, PULLS[int(np.argmin(errors))])

"""Fit the weights of a layer to its wanted outputs by ridge regression towards the old weights.

    W' = argmin Σ |t − W'·x̃'|² + λ |W' − W|²

with x̃' = (x', 1) the input in the pruned graph, t the wanted output of the original before its activation,
and W the kept weights; the bias is not regularized. λ is chosen by the error on every fourth sample, which is
held out of the fit: a classifier fitted to few images would otherwise lose the classes that they do not show.
CrossMoments are streamed, so memory holds only K × K numbers.
Source: He, Zhang and Sun 2017, "Channel Pruning for Accelerating Very Deep Neural Networks", section 3.1.
Departures: the regularization λ, and that it is towards the old weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.channels.channel_moments import Matrix
from tightfit.streaming.cross_moments import CrossMoments
from tightfit.streaming.moments import MomentWindow

Rows = npt.NDArray[np.float32]


PULLS: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Values of λ in units of the mean square of an input."""


_HELD_OUT: Final = 4


class Fit:
    """The regression of one layer, with held-out samples that choose λ.

    Args:
        window: the window of the input that one output is computed from.
        target: returns the wanted outputs, (rows, outputs) or (channels, rows, 1), from the ``shown`` rows
            of ``update``.
    """

    def __init__(self, window: MomentWindow, target: Callable[[Rows], Rows]) -> None:
        self.window = window
        self.fitted, self.held = CrossMoments(target), CrossMoments(target)
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

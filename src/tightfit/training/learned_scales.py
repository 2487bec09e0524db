"""The scales that are trained, of activations and of weights: one variable for all of a network.

A scale is ``max(initial · exp(stretch), least)`` and the stretch is trained: a logarithm, so that steps are
relative and Adam's size fits all. With a variable for each, an optimizer would take as long for the scales
as for the weights: the demo has 41 of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from tightfit.graph.ir import Array

Part = Callable[[dict[Any, Any]], Any]
"""Gives one quantizer's scales, shape (channels,), as they are now; the cache is a call's own."""


class LearnedScales:
    """Collects what starts as learned; ``build`` makes the variable when all is there."""

    def __init__(self) -> None:
        self.initial: list[Array] = []
        self.least: list[Array] = []
        self.stretch: Any = None

    def add(self, initial: Array, least: Array | float = 0.0) -> Part:
        """Takes scales in.

        Args:
            initial: they start as these, shape (channels,) or (). least: they never fall below.
        """
        index = len(self.initial)
        self.initial.append(np.asarray(initial, np.float32).reshape(-1))
        self.least.append(np.full(self.initial[-1].shape, least, np.float32))
        return lambda cache: self.all(cache)[index]

    def build(self, owner: Any) -> None:
        """Makes the variable; ``owner`` is the Keras model that keeps it."""
        if self.initial:
            zeros = np.zeros(sum(part.size for part in self.initial))
            self.stretch = owner.add_state("scales", "stretch", zeros, trainable=True)

    def all(self, cache: dict[Any, Any]) -> list[Any]:
        """Gives the scales of each part, formed once a call."""
        if self not in cache:
            initial, least = (ops.convert_to_tensor(np.concatenate(p)) for p in (self.initial, self.least))
            ends = np.cumsum([part.size for part in self.initial])[:-1].tolist()
            cache[self] = ops.split(ops.maximum(ops.exp(self.stretch) * initial, least), ends)
        found: list[Any] = cache[self]
        return found

"""How far a layer's second moments can be trusted: chosen by what each half of the samples says of the other.

A layer with more inputs than the samples show directions would be rounded to please those samples alone.
Some rows are rounded by the moments of one half under each damping, and judged by those of the other. The
walk alone decides: the descent behind it takes three times as long and hardly changes which damping is best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tightfit.recovery.rounding.gptq import Matrix, damped, fitted_bias, walk

CHOICES: Final = (1e-3, 0.03, 0.1, 0.3, 1.0)
"""Shares of the mean variance."""

_ROWS: Final = 48


def choose_damping(weights: Matrix, halves: Sequence[Matrix], scales: Matrix, top: int) -> float:
    """Gives the damping under which rounding by one half of the samples loses least on the other.

    Args:
        weights: (rows, K). halves: ``E[x̃ x̃ᵀ]`` of each half, (K+1, K+1); one alone gives the largest choice.
        scales: (rows,). top: the largest integer.
    """
    if len(halves) < 2:
        return CHOICES[-1]
    chosen = np.unique(np.linspace(0, len(weights) - 1, min(_ROWS, len(weights))).astype(np.int64))
    rows, steps = weights[chosen].astype(np.float32), scales[chosen].astype(np.float32)
    halves = [half.astype(np.float32) for half in halves]
    found: dict[int, float] = {}

    def lost(place: int) -> float:
        if place not in found:
            pairs = (halves, halves[::-1])
            found[place] = sum(_lost(rows, a, b, steps, top, CHOICES[place]) for a, b in pairs)
        return found[place]

    # More damping first helps, then harms: from the middle downhill, half of the choices are enough.
    place = len(CHOICES) // 2
    step = 1 if lost(place + 1) < lost(place) else -1
    while 0 <= place + step < len(CHOICES) and lost(place + step) < lost(place):
        place += step
    return CHOICES[place]


def _lost(weights: Matrix, seen: Matrix, unseen: Matrix, scales: Matrix, top: int, damping: float) -> float:
    """The loss on the unseen half after rounding by the seen one, bias included."""
    moments = damped(seen, damping)
    integers = walk(weights, moments, scales, top)
    bias = fitted_bias(integers, weights, np.zeros(len(weights), np.float32), moments, scales)
    change = np.concatenate([integers * scales[:, None] - weights, bias[:, None]], axis=1)
    return float(((change @ unseen) * change).sum())

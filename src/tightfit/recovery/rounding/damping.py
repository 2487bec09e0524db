"""Choose the damping of a layer's second moments by cross-validation between two halves of the samples.

A layer with more inputs than the samples have independent directions would be overfitted to those samples.
Some rows are rounded by the moments of one half under each damping, and their loss is computed on the other
half. Only GPTQ is run: the coordinate descent after it takes three times as long and hardly changes which
damping is best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tightfit.recovery.rounding.gptq import Matrix, damped, fitted_bias, gptq

CHOICES: Final = (1e-3, 0.03, 0.1, 0.3, 1.0)
"""Dampings to choose from, as fractions of the mean variance."""

_ROWS: Final = 48


def choose_damping(weights: Matrix, halves: Sequence[Matrix], scales: Matrix, top: int) -> float:
    """Return the damping with the least loss when rounding by one half of the samples is tested on the other.

    Args:
        weights: real weights, (rows, K).
        halves: ``E[x̃ x̃ᵀ]`` of each half, (K + 1, K + 1); with only one the largest choice is returned.
        scales: weight scales, (rows,).
        top: the largest integer.

    Returns:
        One of ``CHOICES``.
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
    """The loss on the held-out half after rounding by the other, with fitted bias."""
    moments = damped(seen, damping)
    integers = gptq(weights, moments, scales, top)
    bias = fitted_bias(integers, weights, np.zeros(len(weights), np.float32), moments, scales)
    change = np.concatenate([integers * scales[:, None] - weights, bias[:, None]], axis=1)
    return float(((change @ unseen) * change).sum())

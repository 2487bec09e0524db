"""Search the scale of each row of weights: clip the largest weights where that reduces the output error.

Clipping a few large weights gives finer steps to all others. The error of each weight is weighted by the
variance of its input, so that the sum is the output error. Equal variances make it the mean squared error of
the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tightfit.recovery.rounding.gptq import Matrix, losses

Rounder = Callable[[Matrix, Matrix, Matrix, Matrix, int], tuple[Matrix, Matrix]]

_SHRINKS: Final = (1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79, 0.76, 0.7, 0.64, 0.58, 0.5)
_AROUND: Final = (1.0, 0.92, 1.08)
"""Factors around the best scale of plain rounding: GPTQ shifts the best scale a little."""


def search_scales(weights: Matrix, variances: Matrix, scales: Matrix, top: int) -> Matrix:
    """Return for each row the shrunk scale with the least plain-rounding error ``Σₖ varₖ · ΔWₖ²``.

    Off-diagonal moments are ignored here and used by the rounding; the bias absorbs the means.

    Args:
        weights: real weights, (rows, K).
        variances: variances of the inputs, (K,) or (rows, K).
        scales: the largest useful scale of each row, (rows,).
        top: the largest integer: 127, or 7 for four bits.

    Returns:
        The scales, (rows,).
    """
    best = np.full(scales.shape, np.inf)
    chosen = scales.copy()
    for shrink in _SHRINKS:
        tried = scales * shrink
        error = np.clip(np.round(weights / tried[:, None]), -top, top) * tried[:, None] - weights
        cost = (error**2 * variances).sum(axis=1)
        better = cost < best
        best, chosen = np.where(better, cost, best), np.where(better, tried, chosen)
    return chosen


def round_on_best_scales(
    rounder: Rounder,
    weights: Matrix,
    bias: Matrix,
    moments: Matrix,
    limits: tuple[Matrix, Matrix, Matrix],
    top: int,
) -> tuple[Matrix, Matrix, Matrix]:
    """Return integers, bias and scales: each row rounded on the scale with the least output error.

    Args:
        rounder: ``gptq.round_layer`` or ``gptq.round_depthwise``.
        weights: real weights, (rows, K).
        bias: real biases, (rows,).
        moments: ``E[x̃ x̃ᵀ]``, (K + 1, K + 1), or (rows, K + 1, K + 1) for depthwise.
        limits: the least, the first and the largest scales, each (rows,).
        top: the largest integer: 127, or 7 for four bits.

    Returns:
        Integers as float64, (rows, K); the bias, (rows,); the scales, (rows,).
    """  # fmt: skip
    least, first, largest = limits
    integers, fitted = rounder(weights, bias, moments, first, top)
    scales, lost = first, losses(integers, weights, moments, first)
    for factor in _AROUND[1:]:
        tried = (
            np.clip(first * factor, least, np.maximum(largest, least)).astype(np.float32).astype(np.float64)
        )
        values, shifted = rounder(weights, bias, moments, tried, top)
        cost = losses(values, weights, moments, tried)
        better = cost < lost
        integers = np.where(better[:, None], values, integers)
        fitted, scales = np.where(better, shifted, fitted), np.where(better, tried, scales)
        lost = np.minimum(lost, cost)
    return integers, fitted, scales

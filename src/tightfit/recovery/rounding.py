"""Rounding that looks at the data: weights are rounded one input at a time, the rest makes up for it.

Closed form, seconds on a CPU: one second-moment matrix a layer (one a channel for depthwise), for
convolutions as well as dense layers. The bias takes part as the weight of a constant input, so the mean
error of every channel is corrected on the way.

Source: Frantar et al. 2023, "GPTQ"; Frantar and Alistarh 2022, "Optimal Brain Compression". Departures: the
bias is the last, unrounded column; scales are searched for the least error under the same matrix; a row that
plain rounding serves better keeps it (the walk is greedy, so on a few rows it loses).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

_DAMPING: Final = 1e-3
_SHRINKS: Final = (1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79, 0.76, 0.7, 0.64, 0.58, 0.5)


def search_scales(weights: Matrix, variances: Matrix, scales: Matrix, top: int) -> Matrix:
    """Gives for each row the shrunk scale with the least plain-rounding error ``Σₖ varₖ · ΔWₖ²``.

    The off-diagonal moments are left to the rounding itself; means are absorbed by the bias.

    Args:
        weights: (rows, K). variances: of the inputs, (K,) or (rows, K).
        scales: (rows,), the largest sensible ones. top: the largest integer (127, or 7 for four bits).
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


def round_layer(
    weights: Matrix, bias: Matrix, moments: Matrix, scales: Matrix, top: int
) -> tuple[Matrix, Matrix]:
    """Gives the integers of weights and the bias that fits them best.

    Args:
        weights: (rows, K) in reals. bias: (rows,).
        moments: ``E[x̃ x̃ᵀ]``, (K+1, K+1), the constant input last. scales: (rows,).

    Returns:
        integers as float64 (rows, K), within ±top, and the corrected bias (rows,). No row's loss
        ``Δw̃ · E[x̃ x̃ᵀ] · Δw̃ᵀ`` is larger than that of rounding to nearest.
    """
    count = weights.shape[1]
    extended = np.concatenate([weights, bias[:, None]], axis=1)
    order = np.append(np.argsort(-np.diag(moments)[:count], kind="stable"), count)
    work = extended[:, order]
    factor = _inverse_factor(moments[np.ix_(order, order)])
    integers = np.zeros((weights.shape[0], count))
    block = 64
    for start in range(0, count, block):
        end = min(start + block, count)
        errors = np.zeros((weights.shape[0], end - start))
        for i in range(start, end):
            column = np.clip(np.round(work[:, i] / scales), -top, top)
            integers[:, i] = column
            error = (work[:, i] - column * scales) / factor[i, i]
            work[:, i + 1 : end] -= np.outer(error, factor[i, i + 1 : end])
            errors[:, i - start] = error
        work[:, end:] -= errors @ factor[start:end, end:]
    result = np.zeros_like(integers)
    result[:, order[:count]] = integers

    def loss(values: Matrix, shifted: Matrix) -> Matrix:
        change = np.concatenate([values * scales[:, None], shifted[:, None]], axis=1) - extended
        return np.asarray((change @ moments * change).sum(axis=1))

    nearest = _nearest(weights, scales, top)
    mean_error = (nearest * scales[:, None] - weights) @ moments[:-1, -1]
    return _better_rows((result, work[:, count]), (nearest, bias - mean_error / moments[-1, -1]), loss)


def round_depthwise(
    weights: Matrix, bias: Matrix, moments: Matrix, scales: Matrix, top: int
) -> tuple[Matrix, Matrix]:
    """The same for a layer whose rows see different inputs: ``moments`` is (rows, K+1, K+1)."""
    rows, count = weights.shape
    work = np.concatenate([weights, bias[:, None]], axis=1)
    factor = np.stack([_inverse_factor(m) for m in moments])
    integers = np.zeros((rows, count))
    for i in range(count):
        integers[:, i] = np.clip(np.round(work[:, i] / scales), -top, top)
        error = (work[:, i] - integers[:, i] * scales) / factor[:, i, i]
        work[:, i + 1 :] -= error[:, None] * factor[:, i, i + 1 :]

    def loss(values: Matrix, shifted: Matrix) -> Matrix:
        change = np.concatenate([values * scales[:, None], shifted[:, None]], axis=1)
        change -= np.concatenate([weights, bias[:, None]], axis=1)
        return np.asarray(np.einsum("rk,rkl,rl->r", change, moments, change))

    nearest = _nearest(weights, scales, top)
    mean_error = ((nearest * scales[:, None] - weights) * moments[:, :-1, -1]).sum(axis=1)
    shifted = bias - mean_error / moments[:, -1, -1]
    return _better_rows((integers, work[:, count]), (nearest, shifted), loss)


def _better_rows(
    walked: tuple[Matrix, Matrix], nearest: tuple[Matrix, Matrix], loss: Callable[[Matrix, Matrix], Matrix]
) -> tuple[Matrix, Matrix]:
    """Gives of each row the walked version or the one rounded to nearest, whichever loses less."""
    keep = loss(*walked) <= loss(*nearest)
    return np.where(keep[:, None], walked[0], nearest[0]), np.where(keep, walked[1], nearest[1])


def _nearest(weights: Matrix, scales: Matrix, top: int) -> Matrix:
    return np.asarray(np.clip(np.round(weights / scales[:, None]), -top, top))


def _inverse_factor(moments: Matrix) -> Matrix:
    """The upper Cholesky factor of the damped inverse: row i tells how later columns make up for column i."""
    size = moments.shape[0]
    # Damped relative to the largest eigenvalue's bound, so that dead inputs do not blow up.
    damping = _DAMPING * max(float(np.mean(np.diag(moments)[:-1])) if size > 1 else 1.0, 1e-12)
    damped = moments + np.eye(size) * damping
    inverse = np.linalg.inv(damped)
    inverse = (inverse + inverse.T) / 2
    # inverse = L·Lᵀ, so U = Lᵀ is the upper factor with inverse = Uᵀ·U that GPTQ walks along.
    return np.asarray(np.linalg.cholesky(inverse).T)

"""Rounding that looks at the data: weights are rounded one input at a time, the rest makes up for it.

Closed form, seconds on a CPU: one second-moment matrix a layer (one a channel for depthwise), for
convolutions as well as dense layers. The bias takes part as the weight of a constant input, so the mean
error of every channel is corrected on the way.

Source: Frantar et al. 2023, "GPTQ"; Frantar and Alistarh 2022, "Optimal Brain Compression". Departures: the
bias is the last, unrounded column; scales are searched for the least error under the same matrix; after the
walk single integers still move by steps that lower the loss (coordinate descent); a row that plain rounding
serves better keeps it (the walk is greedy, so on a few rows it loses).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

_DAMPING: Final = 1e-6
_BLOCK: Final = 64
_PASSES: Final = 3
"""Rounds of coordinate descent; a fourth changes next to nothing."""


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
    for start in range(0, count, _BLOCK):
        end = min(start + _BLOCK, count)
        errors = np.zeros((weights.shape[0], end - start))
        for i in range(start, end):
            column = np.clip(np.round(work[:, i] / scales), -top, top)
            integers[:, i] = column
            error = (work[:, i] - column * scales) / factor[i, i]
            work[:, i + 1 : end] -= np.outer(error, factor[i, i + 1 : end])
            errors[:, i - start] = error
        work[:, end:] -= errors @ factor[start:end, end:]
    walked = np.zeros_like(integers)
    walked[:, order[:count]] = integers
    walked = descend(walked, weights, _covariance(moments), scales, top)

    found = _better_rows(walked, _nearest(weights, scales, top), weights, moments, scales)
    return found, bias - (found * scales[:, None] - weights) @ moments[:-1, -1] / moments[-1, -1]


def descend(integers: Matrix, weights: Matrix, covariance: Matrix, scales: Matrix, top: int) -> Matrix:
    """Moves single integers, input after input, to the best place while all others stay: loss never grows.

    Args:
        integers: (rows, K), where to start. weights: in reals.
        covariance: (K, K), of the inputs; the bias takes up their means. scales: (rows,).
    """
    found = integers.copy()
    gradient = (found * scales[:, None] - weights) @ covariance
    curvature = np.maximum(np.diag(covariance), 1e-300)
    for _ in range(_PASSES):
        changed = False
        for start in range(0, weights.shape[1], _BLOCK):
            end = min(start + _BLOCK, weights.shape[1])
            local, inner = gradient[:, start:end].copy(), covariance[start:end, start:end]
            moves = np.zeros_like(local)
            for i in range(end - start):
                best = np.round(found[:, start + i] - local[:, i] / (curvature[start + i] * scales))
                best = np.clip(best, -top, top)
                moves[:, i] = (best - found[:, start + i]) * scales
                found[:, start + i] = best
                local += moves[:, i : i + 1] * inner[i]
            if moves.any():
                gradient += moves @ covariance[start:end]
                changed = True
        if not changed:
            break
    return found


def damped(moments: Matrix, damping: float) -> Matrix:
    """Gives the moments of inputs with independent noise on top, ``damping`` times their mean variance.

    It keeps the rounding from trusting directions that a few samples happened not to show.

    Args:
        moments: ``E[x̃ x̃ᵀ]``, (…, K+1, K+1), the constant input last.
    """
    found = moments.copy()
    inner = np.einsum("...ii->...i", found)[..., :-1]  # a view of the diagonals
    variances = np.maximum(inner - moments[..., :-1, -1] ** 2, 0.0)
    inner += np.maximum(damping * variances.mean(axis=-1, keepdims=True), 1e-30)
    return found


def _covariance(moments: Matrix) -> Matrix:
    means = moments[..., :-1, -1]
    return np.asarray(moments[..., :-1, :-1] - means[..., :, None] * means[..., None, :])


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

    found = _better_rows(integers, _nearest(weights, scales, top), weights, moments, scales)
    change = found * scales[:, None] - weights
    return found, bias - (change * moments[:, :-1, -1]).sum(axis=1) / moments[:, -1, -1]


def losses(integers: Matrix, weights: Matrix, moments: Matrix, scales: Matrix) -> Matrix:
    """Gives each row's mean squared output error, its bias fitted: ``ΔW · Cov[x] · ΔWᵀ``, shape (rows,).

    Args:
        moments: (K+1, K+1), or (rows, K+1, K+1) for depthwise.
    """
    change = integers * scales[:, None] - weights
    covariance = _covariance(moments)
    if covariance.ndim > 2:
        return np.asarray(np.einsum("rk,rkl,rl->r", change, covariance, change))
    return np.asarray(((change @ covariance) * change).sum(axis=1))


def _better_rows(walked: Matrix, nearest: Matrix, weights: Matrix, moments: Matrix, scales: Matrix) -> Matrix:
    """Gives of each row the walked version or the one rounded to nearest, whichever loses less."""
    keep = losses(walked, weights, moments, scales) <= losses(nearest, weights, moments, scales)
    return np.where(keep[:, None], walked, nearest)


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

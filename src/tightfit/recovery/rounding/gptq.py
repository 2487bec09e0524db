"""GPTQ: round weights one input column at a time, and adjust the remaining columns for the error.

The solution is in closed form and takes seconds on a CPU. It needs one second-moment matrix for each layer
(one for each channel of a depthwise layer), for convolutions as well as dense layers. The bias is the weight
of a constant input, so the mean error of every channel is corrected too.

Source: Frantar et al. 2023, "GPTQ"; Frantar and Alistarh 2022, "Optimal Brain Compression". Departures: the
bias is the last, unrounded column; scales are searched for the least error under the same matrix; coordinate
descent on single integers follows; a row keeps rounding to nearest where that has less error (GPTQ is greedy,
so it loses on a few rows).
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tightfit.errors import QuantizationError

Matrix = npt.NDArray[np.floating[Any]]

_DAMPING: Final = 1e-6
_MORE_DAMPING: Final = (1.0, 1e2, 1e4, 1e6)
"""Sums in float32 over fewer samples than inputs need not be positive definite: then more is added."""

_BLOCK: Final = 64
_PASSES: Final = 3
"""Passes of coordinate descent; a fourth changes almost nothing."""


def round_layer(
    weights: Matrix, bias: Matrix, moments: Matrix, scales: Matrix, top: int
) -> tuple[Matrix, Matrix]:
    """Return the integers of weights and the bias that fits them best.

    Args:
        weights: real weights, (rows, K).
        bias: real biases, (rows,).
        moments: ``E[x̃ x̃ᵀ]``, (K + 1, K + 1), the constant input last.
        scales: weight scales, (rows,).
        top: the largest integer: 127, or 7 for four bits.

    Returns:
        Integers as float64, (rows, K), within ±top, and the corrected bias, (rows,). No row's loss
        ``Δw̃ · E[x̃ x̃ᵀ] · Δw̃ᵀ`` is larger than that of rounding to nearest.
    """
    rounded = gptq(weights, moments, scales, top)
    rounded = coordinate_descent(rounded, weights, _covariance(moments), scales, top)
    found = _better_rows(rounded, _nearest(weights, scales, top), weights, moments, scales)
    return found, fitted_bias(found, weights, bias, moments, scales)


def fitted_bias(integers: Matrix, weights: Matrix, bias: Matrix, moments: Matrix, scales: Matrix) -> Matrix:
    """Return the bias under which the mean output error of each row is zero, (rows,).

    Args:
        integers: rounded weights in units of the scales, (rows, K).
        weights: real weights, (rows, K).
        bias: real biases, (rows,).
        moments: ``E[x̃ x̃ᵀ]``, (K + 1, K + 1), or (rows, K + 1, K + 1) for depthwise.
        scales: weight scales, (rows,).
    """
    change = integers * scales[:, None] - weights
    return np.asarray(bias - (change * moments[..., :-1, -1]).sum(axis=1) / moments[..., -1, -1])


def gptq(weights: Matrix, moments: Matrix, scales: Matrix, top: int) -> Matrix:
    """Return GPTQ's integers: columns are rounded in the order of their inputs' power, the largest first.

    With ``E[x̃ x̃ᵀ] = R·Rᵀ``, R upper triangular, errors e have the loss ``|e·R|²``. Entry i of ``e·R`` depends
    only on the errors up to i, so each is brought as near to zero as the grid allows. The constant input is
    last and is not rounded. The integers are GPTQ's (Chen et al. 2025, "The Geometry of LLM Quantization:
    GPTQ as Babai's Nearest Plane Algorithm"), computed without an inverse.

    Args:
        weights: real weights, (rows, K).
        moments: ``E[x̃ x̃ᵀ]``, (K + 1, K + 1), the constant input last.
        scales: weight scales, (rows,).
        top: the largest integer.

    Returns:
        Integers as float64, (rows, K), within ±top.
    """
    count = weights.shape[1]
    order = np.argsort(-np.diag(moments)[:count], kind="stable")
    factor = _upper_factor(moments[np.ix_(*[np.append(order, count)] * 2)])
    wanted = np.ascontiguousarray(weights.T[order])
    integers, errors = np.empty_like(wanted), np.empty_like(wanted)
    owed = np.zeros_like(wanted)
    for start in range(0, count, _BLOCK):
        end = min(start + _BLOCK, count)
        for i in range(start, end):
            made_up = (owed[i] + factor[start:i, i] @ errors[start:i]) / factor[i, i]
            integers[i] = _on_grid((wanted[i] - made_up) / scales, top)
            errors[i] = integers[i] * scales - wanted[i]
        owed[end:] += factor[start:end, end:count].T @ errors[start:end]
    found = np.empty_like(weights)
    found[:, order] = integers.T
    return found


def coordinate_descent(
    integers: Matrix, weights: Matrix, covariance: Matrix, scales: Matrix, top: int
) -> Matrix:
    """Return integers improved by coordinate descent: one column at a time, with all others fixed.

    The loss never increases.

    Args:
        integers: the integers to start from, (rows, K).
        weights: real weights, (rows, K).
        covariance: covariance of the inputs, (K, K); the bias absorbs their means.
        scales: weight scales, (rows,).
        top: the largest integer.
    """
    # Only the order of sums depends on the precision: half of it takes two thirds of the time.
    integers, weights, covariance, scales = (
        np.asarray(values, np.float32) for values in (integers, weights, covariance, scales)
    )
    found = np.ascontiguousarray(integers.T)
    gradient = covariance @ (found * scales - weights.T)
    curvature = np.maximum(np.diag(covariance), np.float32(1e-30))
    for _ in range(_PASSES):
        changed = False
        for start in range(0, len(found), _BLOCK):
            end = min(start + _BLOCK, len(found))
            local, inner = gradient[start:end].copy(), covariance[start:end, start:end]
            moves = np.zeros_like(local)
            for i in range(end - start):
                best = _on_grid(found[start + i] - local[i] / (curvature[start + i] * scales), top)
                moves[i] = (best - found[start + i]) * scales
                found[start + i] = best
                # Columns before i in the block are not used again.
                local[i + 1 :] += inner[i, i + 1 :, None] * moves[i]
            if moves.any():
                gradient += covariance[:, start:end] @ moves
                changed = True
        if not changed:
            break
    return np.ascontiguousarray(found.T, np.float64)


def _on_grid(values: Matrix, top: int) -> Matrix:
    return np.minimum(np.maximum(np.rint(values), -top), top)


def damped(moments: Matrix, damping: float) -> Matrix:
    """Return the moments of the inputs plus independent noise of ``damping`` times their mean variance.

    Damping regularizes directions in which the few samples happen to have no variance.

    Args:
        moments: ``E[x̃ x̃ᵀ]``, (…, K + 1, K + 1), the constant input last.
        damping: noise power as a fraction of the mean variance, 0 or more.
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
    """Return the same as ``round_layer`` for a depthwise layer, whose rows have different inputs.

    Args:
        weights: real weights, (rows, K).
        bias: real biases, (rows,).
        moments: ``E[x̃ x̃ᵀ]`` of each row's input, (rows, K + 1, K + 1).
        scales: weight scales, (rows,).
        top: the largest integer.
    """
    factor = _upper_factor(moments)
    integers, errors = np.empty_like(weights), np.zeros_like(weights)
    for i in range(weights.shape[1]):
        made_up = (errors[:, :i] * factor[:, :i, i]).sum(axis=1) / factor[:, i, i]
        integers[:, i] = _on_grid((weights[:, i] - made_up) / scales, top)
        errors[:, i] = integers[:, i] * scales - weights[:, i]
    found = _better_rows(integers, _nearest(weights, scales, top), weights, moments, scales)
    return found, fitted_bias(found, weights, bias, moments, scales)


def losses(integers: Matrix, weights: Matrix, moments: Matrix, scales: Matrix) -> Matrix:
    """Return each row's mean squared output error with fitted bias: ``ΔW · Cov[x] · ΔWᵀ``, (rows,).

    Args:
        integers: rounded weights in units of the scales, (rows, K).
        weights: real weights, (rows, K).
        moments: ``E[x̃ x̃ᵀ]``, (K + 1, K + 1), or (rows, K + 1, K + 1) for depthwise.
        scales: weight scales, (rows,).
    """
    change = integers * scales[:, None] - weights
    covariance = _covariance(moments)
    if covariance.ndim > 2:
        return np.asarray(np.einsum("rk,rkl,rl->r", change, covariance, change))
    return np.asarray(((change @ covariance) * change).sum(axis=1))


def _better_rows(
    rounded: Matrix, nearest: Matrix, weights: Matrix, moments: Matrix, scales: Matrix
) -> Matrix:
    """Return of each row the rounded version or the one rounded to nearest, whichever loses less."""
    keep = losses(rounded, weights, moments, scales) <= losses(nearest, weights, moments, scales)
    return np.where(keep[:, None], rounded, nearest)


def _nearest(weights: Matrix, scales: Matrix, top: int) -> Matrix:
    return _on_grid(weights / scales[:, None], top)


def _upper_factor(moments: Matrix) -> Matrix:
    """R, upper triangular, of ``moments = R·Rᵀ``, slightly damped: Cholesky's factor of reversed moments."""
    size = moments.shape[-1]
    means = np.einsum("...ii->...i", moments)[..., :-1].mean(axis=-1) if size > 1 else np.ones(1)
    # Damped relative to a bound of the largest eigenvalue, so that inputs without variance do not diverge.
    damping = _DAMPING * np.maximum(means, 1e-12)
    backwards = moments[..., ::-1, ::-1]
    for more in _MORE_DAMPING:
        with contextlib.suppress(np.linalg.LinAlgError):
            steady = backwards + np.eye(size) * (more * damping)[..., None, None]
            return np.ascontiguousarray(np.linalg.cholesky(steady)[..., ::-1, ::-1])
    raise QuantizationError(
        "The second moments of a layer's inputs hold NaN or infinity. Check the samples, or keep the op in "
        "float."
    )

"""Refit the remaining weights after pruning, so that the layer's outputs change least on the samples.

For each output channel, ``min (w − w₀) · E[x̃ x̃ᵀ] · (w − w₀)ᵀ`` over weights that are zero outside of the
mask, with ``x̃ = (x, 1)``, so that the bias is fitted too: it takes the means, and the covariance of the
inputs remains. Optimal Brain Surgeon (Hassibi and Stork 1993) and SparseGPT (Frantar and Alistarh 2023)
minimize the same quadratic form. Departure: those remove weights one by one; here the mask is given and
conjugate gradients solve all channels at once, for any pattern. Each input counts in units of its standard
deviation, so that a column of pascals does not decide how far one of shares may move.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.types import Array, Mask

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_DAMPING: Final = 0.01
"""Damping, as a fraction of each input's variance, added to the diagonal. It keeps weights that the samples
do not determine near their old values, whatever the units of the inputs."""
_ROUNDS: Final = 40
_CLOSE: Final = 1e-6


def refit(rows: Array, kept: Mask, moments: Float64) -> tuple[Float64, Float64]:
    """Return the fitted weights and the change of each channel's bias.

    Args:
        rows: weights, (channels, K).
        kept: mask of the same shape, True for weights that remain.
        moments: ``E[x̃ x̃ᵀ]``, (K + 1, K + 1); the last row is the bias's.

    Returns:
        The weights, (channels, K), zero outside of the mask, and the bias changes, (channels,).

    Example:
        >>> twins = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # two equal inputs
        >>> fitted, shift = refit(np.array([[1.0, 1.0]]), np.array([[True, False]]), twins)
        >>> fitted.round(1).tolist(), shift.round(2).tolist()  # the one that stays does the work of both
        ([[2.0, 0.0]], [0.0])
    """
    spread = np.sqrt(variances(moments))
    unit = np.where(spread > 0.0, spread, 1.0)
    means = moments[:-1, -1]
    form = (moments[:-1, :-1] - np.outer(means, means)) / np.outer(unit, unit)
    form += _DAMPING * np.diag(spread > 0.0)
    # Single precision halves the time; the rest of the error is far above its rounding.
    goal = (rows * unit).astype(np.float32)
    found = _minimum(goal * kept, goal, kept, form.astype(np.float32)).astype(np.float64) / unit
    return found, (rows - found) @ means


def variances(moments: Float64) -> Float64:
    """Return the variance of each input, (K,): what a change of its weights costs beside a fitted bias.

    Args:
        moments: ``E[x̃ x̃ᵀ]``, (K + 1, K + 1); the last row is the bias's.

    Example:
        >>> variances(np.array([[10.0, 3.0], [3.0, 1.0]]))  # a power of 10 about a mean of 3
        array([1.])
    """
    return np.maximum(np.diagonal(moments)[:-1] - moments[:-1, -1] ** 2, 0.0)


def _minimum(start: Float32, goal: Float32, free: Mask, form: Float32) -> Float32:
    """Minimize by conjugate gradients on the free entries of each row, preconditioned by the diagonal."""
    strength = np.maximum(np.diagonal(form), 1e-12)
    point = start.copy()
    residual = -((point - goal) @ form) * free
    step = residual / strength
    power = (residual * step).sum(axis=1)
    enough = _CLOSE * np.maximum(power, 1e-30)
    for _ in range(_ROUNDS):
        ahead = step @ form * free
        curve = (step * ahead).sum(axis=1)
        length = np.divide(power, curve, out=np.zeros_like(power), where=curve > 0)[:, None]
        point += length * step
        residual -= length * ahead
        better = residual / strength
        renewed = (residual * better).sum(axis=1)
        if (renewed <= enough).all():
            break
        turn = np.divide(renewed, power, out=np.zeros_like(power), where=power > 0)[:, None]
        step = better + turn * step
        power = renewed
    return point

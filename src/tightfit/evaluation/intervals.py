"""Confidence intervals from counts and numbers; the standard library and NumPy only.

What is compared with what is ``comparison``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]

RESAMPLES = 2000
_CHUNK = 1 << 20  # draws held at a time, so that memory does not grow with the samples
_MOST_PAIRS = 10_000_000
_BISECTIONS = 60  # halves an interval of length 2 below the resolution of a double


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of ``successes / n``.

    Example:
        >>> tuple(round(limit, 4) for limit in wilson_interval(15, 148))
        (0.0624, 0.1605)

    Source: Wilson 1927, JASA 22:209-212; the example is Newcombe's 1998, Statistics in Medicine 17:857-872.
    """
    share, z = successes / n, _quantile(confidence)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def tango_interval(lost: int, gained: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Tango's asymptotic score interval for ``(lost - gained) / n`` of n pairs.

    It holds the differences d that a score test does not reject: |lost - gained - n d| at most z times
    sqrt(n (2 q + d (1 - d))), with q the most likely share of ``gained`` when the difference is d. Zero
    lies in it exactly when McNemar's test does not reject.

    Args:
        lost: pairs where only the reference scores.
        gained: pairs where only the other scores.
        n: all pairs.
        confidence: the share of such intervals that hold the truth.

    Example:
        >>> tuple(round(v, 3) for v in tango_interval(1, 7, 21))
        (-0.517, -0.026)

    Source: Tango 1998, Statistics in Medicine 17:891-908; the example's counts are Bentur et al.'s, 2009.
    """
    z, estimate = _quantile(confidence), (lost - gained) / n
    low = _root(lambda d: _tango_statistic(lost, gained, n, d) - z, -1.0, estimate)
    return low, tango_upper(lost, gained, n, confidence)


def tango_upper(lost: float, gained: float, n: int, confidence: float = 0.95) -> float:
    """Return the upper end of ``tango_interval``; counts may be fractions, as shares of more samples."""
    z, estimate = _quantile(confidence), (lost - gained) / n
    return _root(lambda d: _tango_statistic(lost, gained, n, d) + z, estimate, 1.0)


def _tango_statistic(lost: float, gained: float, n: int, d: float) -> float:
    distance = lost - gained - n * d
    b = (2 * n - lost + gained) * d - lost - gained
    q = (math.sqrt(max(0.0, b * b + 8 * n * gained * d * (1 - d))) - b) / (4 * n)
    variance = n * (2 * q + d * (1 - d))
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)


def unchanged_half(n: int, confidence: float = 0.95) -> float:
    """Return half of Tango's interval where none of n pairs differ: ``z² / (n + z²)``.

    Example:
        >>> round(unchanged_half(5), 3), round(unchanged_half(381), 4)
        (0.434, 0.01)
    """
    z = _quantile(confidence)
    return z * z / (n + z * z)


def samples_needed(lost: float, gained: float, allowed: float, confidence: float = 0.95) -> int | None:
    """Return how many pairs would do for Tango's interval of the drop to end at ``allowed`` or below.

    Args:
        lost: share of pairs where only the reference scores.
        gained: share of pairs where only the other scores.
        allowed: the largest drop, above ``lost - gained``; else no number of pairs would do.
        confidence: of the interval, 0–1.

    Example:
        >>> samples_needed(0.0, 0.0, 0.01), samples_needed(0.02, 0.02, 0.01) > 1000
        (381, True)
    """
    if lost - gained >= allowed:
        return None
    low, high = 1, 2
    while tango_upper(lost * high, gained * high, high, confidence) > allowed:
        low, high = high, 2 * high
        if high > _MOST_PAIRS:
            return None
    while low < high:
        middle = (low + high) // 2
        fits = tango_upper(lost * middle, gained * middle, middle, confidence) <= allowed
        low, high = (low, middle) if fits else (middle + 1, high)
    return low


def bootstrap_interval(
    values: npt.NDArray[Any], confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The mean's bias-corrected and accelerated (BCa) bootstrap interval; equal values give a point.

    Args:
        values: at least two.
        confidence: the share of such intervals that hold the truth.
        seed: of the resampling.

    Source: DiCiccio and Efron 1996, Statistical Science 11:189-228, with the acceleration of a mean.
    """
    mean, centred = float(values.mean()), values - values.mean()
    squares = float((centred**2).sum())
    if squares == 0:
        return mean, mean
    means = _resampled_means(values, np.random.default_rng(seed))
    normal = NormalDist()
    below = float((means < mean).mean() + (means == mean).mean() / 2)
    bias = normal.inv_cdf(min(max(below, 1 / RESAMPLES), 1 - 1 / RESAMPLES))
    acceleration = float((centred**3).sum()) / (6 * squares**1.5)
    levels = []
    for z in (-_quantile(confidence), _quantile(confidence)):
        shifted = bias + z
        levels.append(normal.cdf(bias + shifted / (1 - acceleration * shifted)))
    low, high = np.quantile(means, levels)
    return float(low), float(high)


def student_quantile(confidence: float, freedom: int) -> float:
    """The two-sided quantile of Student's t, right to 0.5 % from 5 degrees of freedom.

    Example:
        >>> round(student_quantile(0.95, 19), 3)
        2.093

    Source: Abramowitz and Stegun 26.7.5.
    """
    x, v = _quantile(confidence), freedom
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
    )
    return float(x + sum(term / v ** (i + 1) for i, term in enumerate(terms)))


def _resampled_means(values: npt.NDArray[Any], random: np.random.Generator) -> Scores:
    n = len(values)
    rows = max(1, _CHUNK // n)
    parts = [
        values[random.integers(0, n, (min(rows, RESAMPLES - start), n))].mean(axis=1)
        for start in range(0, RESAMPLES, rows)
    ]
    return np.concatenate(parts)


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2

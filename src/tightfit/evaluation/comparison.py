"""How sure a difference is: paired intervals for scores of two models on the same samples.

Everything works on per-sample scores; running models is ``accuracy``. Only NumPy and the standard library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from tightfit.errors import DataError

Scores = npt.NDArray[np.float64]

RESAMPLES = 2000
_CHUNK = 1 << 20  # draws held at a time, so that memory does not grow with the samples
_BISECTIONS = 60  # halves an interval of length 2 below the resolution of a double


@dataclass(frozen=True)
class Difference:
    """How much worse scores are than a reference's, with a confidence interval.

    Args:
        drop: mean of reference minus score; negative when the scores are better.
        low, high: the interval, or None when one sample cannot give one.
        method: ``tango`` for scores of 0 and 1, ``bootstrap`` otherwise.
        n: the number of samples.
    """

    drop: float
    low: float | None
    high: float | None
    method: str
    n: int


def paired_drop(
    reference_scores: Sequence[float] | npt.NDArray[Any],
    scores: Sequence[float] | npt.NDArray[Any],
    confidence: float = 0.95,
    *,
    seed: int = 0,
) -> Difference:
    """The mean drop from the reference's scores to the scores, with its interval.

    Raises:
        DataError: when the scores are empty or of different length.

    Example:
        >>> d = paired_drop([1] * 65 + [0] * 96, [1] * 59 + [0] * 6 + [1] * 16 + [0] * 80)
        >>> round(d.drop, 4), round(d.low, 4), round(d.high, 4), d.method
        (-0.0621, -0.124, -0.0054, 'tango')

    Source: Tango 1998, Statistics in Medicine 17:891-908; DiCiccio and Efron 1996, Statistical Science 11:189-228.
    The example's counts are those of Cavo et al. 2012.
    """
    before, after = _scores(reference_scores), _scores(scores)
    if len(before) != len(after):
        raise DataError(
            f"{len(before)} and {len(after)} scores cannot be paired. Score both on the same samples."
        )
    n, drops = len(before), before - after
    if _is_binary(before) and _is_binary(after):
        low, high = tango_interval(int((drops > 0).sum()), int((drops < 0).sum()), n, confidence)
        return Difference(float(drops.mean()), low, high, "tango", n)
    interval = bootstrap_interval(drops, confidence, seed) if n > 1 else (None, None)
    return Difference(float(drops.mean()), *interval, "bootstrap", n)


def mean_score(
    scores: Sequence[float] | npt.NDArray[Any], confidence: float = 0.95, *, seed: int = 0
) -> tuple[float, float | None, float | None]:
    """The mean and its interval: Wilson's for scores of 0 and 1, the bootstrap's otherwise.

    Example:
        >>> tuple(round(v, 4) for v in mean_score([1] * 81 + [0] * 182))
        (0.308, 0.2553, 0.3662)
    """
    values = _scores(scores)
    if _is_binary(values):
        return proportion(values, confidence)
    interval = bootstrap_interval(values, confidence, seed) if len(values) > 1 else (None, None)
    return float(values.mean()), *interval


def proportion(
    scores: Sequence[float] | npt.NDArray[Any], confidence: float = 0.95
) -> tuple[float, float, float]:
    """The share of ones with Wilson's score interval, clipped to 0 and 1 by its own formula.

    Example:
        >>> tuple(round(v, 4) for v in proportion([1] * 15 + [0] * 133))
        (0.1014, 0.0624, 0.1605)

    Source: Wilson 1927, JASA 22:209-212; the example is Newcombe's 1998, Statistics in Medicine 17:857-872.
    """
    values = _scores(scores)
    n, share, z = len(values), float(values.mean()), _quantile(confidence)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return share, max(0.0, centre - half), min(1.0, centre + half)


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
    """
    z, estimate = _quantile(confidence), (lost - gained) / n

    def statistic(d: float) -> float:
        distance = lost - gained - n * d
        b = (2 * n - lost + gained) * d - lost - gained
        q = (math.sqrt(max(0.0, b * b + 8 * n * gained * d * (1 - d))) - b) / (4 * n)
        variance = n * (2 * q + d * (1 - d))
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    low = _root(lambda d: statistic(d) - z, -1.0, estimate)
    high = _root(lambda d: statistic(d) + z, estimate, 1.0)
    return low, high


def bootstrap_interval(
    values: npt.NDArray[Any], confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The mean's bias-corrected and accelerated (BCa) bootstrap interval; equal values give a point.

    Args:
        values: at least two.
        confidence: the share of such intervals that hold the truth.
        seed: of the resampling.
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
    return x + sum(term / v ** (i + 1) for i, term in enumerate(terms))


def _resampled_means(values: npt.NDArray[Any], random: np.random.Generator) -> Scores:
    n = len(values)
    rows = max(1, _CHUNK // n)
    parts = [
        values[random.integers(0, n, (min(rows, RESAMPLES - start), n))].mean(axis=1)
        for start in range(0, RESAMPLES, rows)
    ]
    return np.concatenate(parts)


def _scores(scores: Sequence[float] | npt.NDArray[Any]) -> Scores:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DataError(
            f"Scores of shape {values.shape} cannot be averaged. Expected one number for each sample."
        )
    return values


def _is_binary(values: Scores) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2

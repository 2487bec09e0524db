"""How sure a difference is: paired intervals for scores of two models on the same samples.

Everything works on per-sample scores; the formulas are ``intervals``, running models is ``accuracy``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tightfit.errors import DataError
from tightfit.evaluation.intervals import Scores, bootstrap_interval, tango_interval, wilson_interval


@dataclass(frozen=True)
class PairedDifference:
    """How much worse scores are than a reference's, with a confidence interval.

    Args:
        drop: mean of reference minus score; negative when the scores are better.
        low: the interval, or None when one sample cannot give one.
        high: see ``low``.
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
) -> PairedDifference:
    """The mean drop from the reference's scores to the scores, with its interval.

    Raises:
        DataError: when the scores are empty or of different length.

    Example:
        >>> d = paired_drop([1] * 65 + [0] * 96, [1] * 59 + [0] * 6 + [1] * 16 + [0] * 80)
        >>> round(d.drop, 4), round(d.low, 4), round(d.high, 4), d.method
        (-0.0621, -0.124, -0.0054, 'tango')

    The example's counts are those of Cavo et al. 2012, with the interval as published for Tango's method.
    """
    before, after = _scores(reference_scores), _scores(scores)
    if len(before) != len(after):
        raise DataError(f"{len(before)} and {len(after)} scores cannot be paired. Score the same samples.")
    n, drops = len(before), before - after
    if _is_binary(before) and _is_binary(after):
        low, high = tango_interval(int((drops > 0).sum()), int((drops < 0).sum()), n, confidence)
        return PairedDifference(float(drops.mean()), low, high, "tango", n)
    return PairedDifference(*_mean_interval(drops, confidence, seed), "bootstrap", n)


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
    return _mean_interval(values, confidence, seed)


def proportion(
    scores: Sequence[float] | npt.NDArray[Any], confidence: float = 0.95
) -> tuple[float, float, float]:
    """The share of ones with Wilson's interval.

    Example:
        >>> tuple(round(v, 4) for v in proportion([1] * 15 + [0] * 133))
        (0.1014, 0.0624, 0.1605)
    """
    values = _scores(scores)
    ones = int(values.sum())
    return ones / len(values), *wilson_interval(ones, len(values), confidence)


def _mean_interval(values: Scores, confidence: float, seed: int) -> tuple[float, float | None, float | None]:
    if len(values) < 2:
        return float(values.mean()), None, None
    return float(values.mean()), *bootstrap_interval(values, confidence, seed)


def _scores(scores: Sequence[float] | npt.NDArray[Any]) -> Scores:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DataError(
            f"Scores of shape {values.shape} cannot be averaged. Expected one number for each sample."
        )
    return values


def _is_binary(values: Scores) -> bool:
    return bool(((values == 0) | (values == 1)).all())

"""From what calibration saw to a range: one function an observer, one row in ``OBSERVERS``.

Each takes the ``Statistics`` of a tensor and the integer type, and gives (low, high). All of them read
the same one-pass statistics, so changing the observer needs no new calibration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.errors import OptionError, QuantizationError, unknown_name
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.statistics import BINS, Statistics

Range = tuple[float, float]
Observer = Callable[[Statistics, str], Range]

_CANDIDATES: Final = 96
_PERCENTILE: Final = 99.99


def minmax(statistics: Statistics, dtype: str) -> Range:  # noqa: ARG001 - the observers' signature
    """Gives the extremes: nothing is clipped."""
    return statistics.low, statistics.high


def moving_average(statistics: Statistics, dtype: str) -> Range:  # noqa: ARG001 - the observers' signature
    """Gives the moving averages of each sample's extremes: a rare outlier counts little."""
    return statistics.average_low, statistics.average_high


def percentile(statistics: Statistics, dtype: str, share: float = _PERCENTILE) -> Range:  # noqa: ARG001 - signature
    """Gives the range that holds ``share`` percent of the values, cut off equally at both ends."""
    counts, centres = statistics.histogram()
    total = np.cumsum(counts)
    if not total.size or total[-1] == 0:
        return minmax(statistics, dtype)
    tail = (100.0 - share) / 100.0 * total[-1]
    first = int(np.searchsorted(total, tail, side="right"))
    last = int(np.searchsorted(total, total[-1] - tail, side="left"))
    low = statistics.low if first == 0 else centres[first]
    high = statistics.high if last >= centres.size - 1 else centres[last]
    return float(low), float(high)


def mse(statistics: Statistics, dtype: str) -> Range:
    """Gives the range with the least mean squared error of rounding plus clipping.

    Rounding costs ``scale² / 12`` for every value but the exact zeros; clipping costs the squared distance
    to the range. Both come from prefix sums of the histogram, so all pairs of 96 lows and 96 highs are tried.

    Source: Banner et al. 2019, "Post training 4-bit quantization of convolutional networks" (the error
    model); departure: evaluated on the histogram instead of a fitted distribution.
    """
    counts, centres = statistics.histogram()
    if not counts.sum():
        return minmax(statistics, dtype)
    bottom, top = LIMITS[dtype]
    shrink = np.linspace(1.0, 0.2, _CANDIDATES)
    highs = max(statistics.high, 0.0) * shrink
    lows = min(statistics.low, 0.0) * shrink
    above = _clipping(counts, centres, highs)
    below = _clipping(counts[::-1], -centres[::-1], -lows)
    width = 2 * statistics.reach / BINS
    moving = counts[np.abs(centres) > width].sum()
    if dtype == "int16":
        extent = np.maximum(highs, -lows)
        cost = moving * (extent / top) ** 2 / 12 + above + below
        best = int(np.argmin(cost))
        return float(lows[best]), float(highs[best])
    scale = (highs[None, :] - lows[:, None]) / (top - bottom)
    grid = moving * scale**2 / 12 + above[None, :] + below[:, None]
    i, j = np.unravel_index(int(np.argmin(grid)), grid.shape)
    return float(lows[i]), float(highs[j])


def _clipping(
    counts: npt.NDArray[np.int64], centres: npt.NDArray[np.float64], limits: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Σ over values above each limit of (value − limit)²; ``centres`` ascend."""
    n = np.cumsum(counts[::-1])[::-1]
    first = np.cumsum((counts * centres)[::-1])[::-1]
    second = np.cumsum((counts * centres**2)[::-1])[::-1]
    at = np.minimum(np.searchsorted(centres, limits, side="right"), centres.size - 1)
    cost = second[at] - 2 * limits * first[at] + limits**2 * n[at]
    beyond = np.searchsorted(centres, limits, side="right") >= centres.size
    return np.asarray(np.where(beyond, 0.0, np.maximum(cost, 0.0)), np.float64)


def entropy(statistics: Statistics, dtype: str) -> Range:
    """Gives the clipping with the least Kullback–Leibler divergence between values and their integers.

    Source: Migacz 2017, "8-bit inference with TensorRT". Departures: both ends are clipped by the same
    share, and the reference keeps its empty bins.
    """
    counts, centres = statistics.histogram()
    if not counts.sum():
        return minmax(statistics, dtype)
    levels = LIMITS[dtype][1] - LIMITS[dtype][0] + 1
    if counts.size <= levels:
        return minmax(statistics, dtype)
    best, choice = np.inf, minmax(statistics, dtype)
    for shrink in np.linspace(1.0, 0.3, _CANDIDATES):
        low, high = min(statistics.low, 0.0) * shrink, max(statistics.high, 0.0) * shrink
        divergence = _divergence(counts, centres, (low, high), levels)
        if divergence < best:
            best, choice = divergence, (low, high)
    return choice


def _divergence(
    counts: npt.NDArray[np.int64], centres: npt.NDArray[np.float64], limits: Range, levels: int
) -> float:
    """KL divergence of the clipped histogram from its version with ``levels`` steps."""
    low, high = limits
    inside = (centres >= low) & (centres <= high)
    if not inside.any():
        return float("inf")
    reference = counts[inside].astype(np.float64)
    reference[0] += counts[centres < low].sum()
    reference[-1] += counts[centres > high].sum()
    step = max((high - low) / (levels - 1), np.finfo(float).tiny)
    group = np.round((centres[inside] - low) / step).astype(np.int64)
    occupied = counts[inside] > 0
    mass = np.bincount(group, counts[inside].astype(np.float64))
    spread = np.maximum(np.bincount(group, occupied.astype(np.float64)), 1.0)
    candidate = np.where(occupied, (mass / spread)[group], 0.0)
    if not candidate.sum():
        return float("inf")
    p, q = reference / reference.sum(), candidate / candidate.sum()
    used = p > 0
    return float(np.sum(p[used] * np.log(p[used] / np.maximum(q[used], 1e-12))))


OBSERVERS: Final[dict[str, Observer]] = {
    "minmax": minmax,
    "moving-average": moving_average,
    "percentile": percentile,
    "mse": mse,
    "entropy": entropy,
}


def find_observer(name: str) -> Observer:
    """Gives the observer of a name; ``percentile:99.9`` sets the share.

    Raises:
        OptionError: unknown name, or a share outside of (50, 100].
    """
    kind, _, argument = name.partition(":")
    if kind not in OBSERVERS:
        raise OptionError(unknown_name("observer", kind, OBSERVERS))
    if not argument:
        return OBSERVERS[kind]
    try:
        share = float(argument)
    except ValueError:
        share = 0.0
    if kind != "percentile" or not 50 < share <= 100:
        raise OptionError(f"Received the observer '{name}'; only percentile takes a number, above 50 to 100.")
    return lambda statistics, dtype: percentile(statistics, dtype, share)


def observe_range(statistics: Statistics, observer: Observer, dtype: str, name: str) -> Range:
    """Gives the range of one tensor by an observer.

    Raises:
        QuantizationError: the tensor never had a finite value.
    """
    if statistics.samples == 0:
        raise QuantizationError(
            f"Tensor '{name}' was NaN or infinite in all {statistics.bad} calibration samples. "
            "Check the inputs' range, or keep its op in float."
        )
    return observer(statistics, dtype)

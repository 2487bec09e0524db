"""``OBSERVERS``: functions that compute a range from calibrated statistics, one row for each observer.

An observer is called with the ``Statistics`` of a tensor and the integer type, and returns (low, high). All
observers use the same statistics, so another observer needs no new calibration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.errors import OptionError, QuantizationError, unknown_name
from tightfit.quantization.arithmetic import LIMITS
from tightfit.streaming.tensor_statistics import Statistics

Range = tuple[float, float]
Counts = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Observer = Callable[[Statistics, str], Range]

# Fine near the extremes, then down to 1/256 of them, for an outlier 256 times as large as the rest.
_SHRINK: Final = np.concatenate([np.linspace(1.0, 0.2, 64), np.geomspace(0.2, 1 / 256, 33)[1:]])
_PERCENTILE: Final = 99.99


def minmax(statistics: Statistics, dtype: str) -> Range:  # noqa: ARG001 - the observers' signature
    """Return the extremes: nothing is clipped."""
    return statistics.low, statistics.high


def moving_average(statistics: Statistics, dtype: str) -> Range:  # noqa: ARG001 - the observers' signature
    """Return the moving averages of each sample's extremes, in which a rare outlier has little weight."""
    return statistics.average_low, statistics.average_high


def percentile(statistics: Statistics, dtype: str, share: float = _PERCENTILE) -> Range:
    """Return the range with ``share`` percent of the values, clipped equally at both ends.

    Args:
        statistics: statistics of the tensor.
        dtype: the integer type.
        share: percentage, above 50 to 100.
    """
    counts, centres = statistics.histogram()
    total = np.cumsum(counts)
    if share == 100.0 or not total.size or total[-1] == 0:
        return minmax(statistics, dtype)
    tail = (100.0 - share) / 100.0 * total[-1]
    first = int(np.searchsorted(total, tail, side="right"))
    last = int(np.searchsorted(total, total[-1] - tail, side="left"))
    low = statistics.low if first == 0 else centres[first]
    high = statistics.high if last >= centres.size - 1 else centres[last]
    return _seen(statistics, low, high)


def _seen(statistics: Statistics, low: float, high: float) -> Range:
    """A range clipped to the extremes, outside of which there were no values."""
    ends = np.clip([low, high], statistics.low, statistics.high)
    return float(ends[0]), float(ends[1])


def mse(statistics: Statistics, dtype: str) -> Range:
    """Return the range with the least mean squared error of rounding plus clipping.

    The error of rounding is ``scale² / 12`` for each value, or the value's square where it is below half a
    step and becomes zero; the error of clipping is the squared distance to the range. Both are computed from
    prefix sums of the histogram for every pair of 96 lows and 96 highs (96 extents for int16, which is
    symmetric).

    Source: Banner et al. 2019, "Post training 4-bit quantization of convolutional networks" (the error
    model); departure: evaluated on the histogram instead of a fitted distribution.
    """
    counts, centres = statistics.histogram()
    if not counts.sum():
        return minmax(statistics, dtype)
    bottom, top = LIMITS[dtype]
    low, high = min(statistics.low, 0.0), max(statistics.high, 0.0)
    if dtype == "int16":
        extents = max(-low, high) * _SHRINK
        clipped = _clipping(counts, centres, extents) + _clipping(counts[::-1], -centres[::-1], extents)
        extent = extents[int(np.argmin(clipped + _rounding(counts, centres, extents / top)))]
        return _seen(statistics, -extent, extent)
    highs, lows = high * _SHRINK, low * _SHRINK
    above = _clipping(counts, centres, highs)
    below = _clipping(counts[::-1], -centres[::-1], -lows)
    scales = (highs[None, :] - lows[:, None]) / (top - bottom)
    cost = _rounding(counts, centres, scales) + above[None, :] + below[:, None]
    i, j = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return _seen(statistics, lows[i], highs[j])


def _clipping(counts: Counts, centres: Reals, limits: Reals) -> Reals:
    """Σ over values above each limit of (value - limit)²; ``centres`` ascend."""
    n = np.append(np.cumsum(counts[::-1])[::-1], 0)
    first = np.append(np.cumsum((counts * centres)[::-1])[::-1], 0.0)
    second = np.append(np.cumsum((counts * centres**2)[::-1])[::-1], 0.0)
    at = np.searchsorted(centres, limits, side="right")
    return np.asarray(np.maximum(second[at] - 2 * limits * first[at] + limits**2 * n[at], 0.0), np.float64)


def _rounding(counts: Counts, centres: Reals, scales: Reals) -> Reals:
    """Σ of scale² / 12 over values, of value² over those below half a step."""
    order = np.argsort(np.abs(centres), kind="stable")
    magnitudes, n = np.abs(centres)[order], counts[order]
    vanished = np.append(0, np.cumsum(n))
    energy = np.append(0.0, np.cumsum(n * magnitudes**2))
    at = np.searchsorted(magnitudes, scales / 2)
    return np.asarray(energy[at] + (vanished[-1] - vanished[at]) * scales**2 / 12, np.float64)


def entropy(statistics: Statistics, dtype: str) -> Range:
    """Return the clipping with the least Kullback-Leibler divergence between values and their integers.

    Both ends are clipped at the same magnitude. Source: Migacz 2017, "8-bit inference with TensorRT".
    Departures: the range need not be symmetric, and empty bins of the reference are kept.
    """
    counts, centres = statistics.histogram()
    levels = LIMITS[dtype][1] - LIMITS[dtype][0] + 1
    if counts.size <= levels or not counts.sum():
        return minmax(statistics, dtype)
    low, high = min(statistics.low, 0.0), max(statistics.high, 0.0)
    limits = max(-low, high) * _SHRINK
    choices = [(float(max(low, -limit)), float(min(high, limit))) for limit in limits]
    best = min(choices, key=lambda choice: _divergence(counts, centres, choice, levels))
    return _seen(statistics, *best)


def _divergence(counts: Counts, centres: Reals, limits: Range, levels: int) -> float:
    """KL divergence of the clipped histogram from its version with ``levels`` steps."""
    low, high = limits
    inside = (centres >= low) & (centres <= high)
    if not counts[inside].any():
        return float("inf")
    reference = counts[inside].astype(np.float64)
    reference[0] += counts[centres < low].sum()
    reference[-1] += counts[centres > high].sum()
    step = max((high - low) / (levels - 1), np.finfo(float).tiny)
    group = np.round((centres[inside] - low) / step).astype(np.int64)
    occupied = counts[inside] > 0
    mass = np.bincount(group, counts[inside].astype(np.float64))
    shared_by = np.maximum(np.bincount(group, occupied.astype(np.float64)), 1.0)
    candidate = np.where(occupied, (mass / shared_by)[group], 0.0)
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

_OF_EXTREMES: Final = ("minmax", "moving-average")


def needs_histogram(name: str) -> bool:
    """Return whether an observer needs a histogram, not only the extremes and their averages."""
    return name not in _OF_EXTREMES


def find_observer(name: str) -> Observer:
    """Return the observer with a name; ``percentile:99.9`` sets the percentage.

    Raises:
        OptionError: the name is unknown, or the percentage is outside of (50, 100].
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
    """Return the range of one tensor by an observer.

    Args:
        statistics: statistics of the tensor.
        observer: the observer.
        dtype: the integer type.
        name: the tensor's name, for the error message.

    Raises:
        QuantizationError: the tensor was NaN or infinite in all samples.
    """
    if statistics.samples == 0:
        raise QuantizationError(
            f"Tensor '{name}' was NaN or infinite in all {statistics.bad} calibration samples. "
            "Check the inputs' range, or keep its op in float."
        )
    return observer(statistics, dtype)

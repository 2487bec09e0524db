"""Axes of the chart: the pixel of a number, and the tick labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_LOG_STEPS = (
    (1, 2, 5),
    (1, 2, 3, 5, 7),
    (1, 1.5, 2, 3, 4, 5, 6, 8),
    (1, 1.2, 1.4, 1.6, 2, 2.5, 3, 4, 5, 6, 7, 8),
)


@dataclass(frozen=True)
class ChartAxis:
    """A map from a range of numbers to a range of pixels.

    Args:
        low: the number at ``start``; greater than ``high`` where less is better.
        high: the number at ``end``.
        start: pixel of ``low``.
        end: pixel of ``high``.
        logarithmic: whether equal ratios have equal lengths.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a number; numbers outside of the range have pixels outside of it.

        Example:
            >>> ChartAxis(0.0, 10.0, 100.0, 300.0)(5.0)
            200.0
            >>> round(ChartAxis(1.0, 100.0, 0.0, 200.0, logarithmic=True)(10.0))
            100
        """
        scale: Callable[[float], float] = math.log if self.logarithmic else float
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return self.start + share * (self.end - self.start)

    def inside(self, value: float) -> bool:
        """Return True when a number is in the range of the axis."""
        return min(self.low, self.high) <= value <= max(self.low, self.high)

    def ticks(self, about: int) -> list[float]:
        """Return about ``about`` round numbers on the axis.

        Example:
            >>> ChartAxis(0.843, 0.871, 0, 1).ticks(4)
            [0.85, 0.86, 0.87]
            >>> ChartAxis(3.5e6, 21e6, 0, 1, logarithmic=True).ticks(3)
            [5000000.0, 10000000.0, 20000000.0]
        """
        low, high = sorted((self.low, self.high))
        choices = _log_ticks(low, high) if self.logarithmic else _even_ticks(low, high)
        return min(choices, key=lambda ticks: abs(len(ticks) - about))


def _log_ticks(low: float, high: float) -> Sequence[list[float]]:
    """Round numbers of several densities between two positive numbers."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices = [
        [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high] for steps in _LOG_STEPS
    ]
    return [*choices, *_even_ticks(low, high)]


def _even_ticks(low: float, high: float) -> Sequence[list[float]]:
    """Multiples of 1, 2, 2.5 and 5 times powers of ten between two numbers, coarse to fine."""
    power = math.floor(math.log10(high - low))
    choices = []
    for exponent in (power, power - 1):
        for step in (5, 2.5, 2, 1):
            size = step * 10.0**exponent
            first, last = math.ceil(low / size - 1e-9), math.floor(high / size + 1e-9)
            choices.append([round(k * size, 12) for k in range(first, last + 1)])
    return choices


def padded(values: Sequence[float], share: float, least: float) -> tuple[float, float]:
    """Return a range around numbers with padding at both ends, at least ``least`` wide.

    Args:
        values: the numbers.
        share: padding at each end, as a fraction of the range.
        least: the least width.

    Example:
        >>> padded([1.0, 2.0], 0.1, 0.5), padded([3.0], 0.1, 2.0)
        ((0.9, 2.1), (2.0, 4.0))
    """
    low, high = min(values), max(values)
    room = max((high - low) * share, (least - (high - low)) / 2)
    return low - room, high + room


def spaced(axis: ChartAxis, ticks: Sequence[float], room: float) -> list[float]:
    """Return the ticks that are at least ``room`` pixels apart, from the first on.

    Args:
        axis: the axis.
        ticks: the ticks, ascending.
        room: the least distance in pixels.

    Example:
        >>> spaced(ChartAxis(0.0, 100.0, 0.0, 100.0), [0.0, 10.0, 50.0, 70.0], 30.0)
        [0.0, 50.0]
    """
    kept: list[float] = []
    for tick in ticks:
        if not kept or axis(tick) - axis(kept[-1]) >= room:
            kept.append(tick)
    return kept

"""How the numbers of a metric read: ``86.1 %`` and ``−0.7 points`` for shares, plain numbers for the rest.

The noun and the unit are those of the metric's row; a change is negative where the metric is worse.
"""

from __future__ import annotations

from dataclasses import dataclass

from tightfit.evaluation.metrics.metric import DECIBELS, NUMBER, SHARE
from tightfit.evaluation.metrics.metric_table import find_metric
from tightfit.search.candidates.candidate import Interval
from tightfit.units import format_decibels, format_number, format_percent, format_points


@dataclass(frozen=True)
class MetricWords:
    """The words for one metric.

    Args:
        noun: what reports call it.
        kind: ``SHARE`` for a fraction 0–1 that reads as a percentage, ``DECIBELS``, or another unit of
            ``evaluation.metrics.metric``.
        higher_is_better: False for errors.
    """

    noun: str
    kind: str = NUMBER
    higher_is_better: bool = True

    @property
    def title(self) -> str:
        """The noun with a capital letter."""
        return self.noun[:1].upper() + self.noun[1:]

    @property
    def share(self) -> bool:
        """True for a fraction 0–1 that reads as a percentage."""
        return self.kind == SHARE

    @property
    def worsens(self) -> str:
        """The verb for a loss."""
        return "fall" if self.higher_is_better else "rise"

    @property
    def is_bounded(self) -> bool:
        """True for shares and cosines, whose differences are of the size of one point."""
        return self.kind in (SHARE, NUMBER)

    def score(self, value: float | None) -> str:
        """Return a value of the metric.

        Example:
            >>> metric_words("top1").score(0.861), metric_words("mae").score(0.01234)
            ('86.1 %', '0.0123')
            >>> metric_words("psnr").score(31.27)
            '31.3 dB'
        """
        if self.kind == DECIBELS:
            return format_decibels(value)
        return format_percent(value) if self.share else format_number(value)

    def amount(self, value: float | None) -> str:
        """Return a difference without its direction.

        Example:
            >>> metric_words("top1").amount(0.007), metric_words("mae").amount(0.0012)
            ('0.7 points', '0.0012')
        """
        if self.share:
            return f"{format_points(value).removeprefix('+')} points"
        return f"{format_number(value, 2)}{self.unit}"

    def change(self, drop: float | None) -> str:
        """Return how the metric changed, negative where it is worse, without a unit.

        Args:
            drop: how much worse it is, positive where it is worse.

        Example:
            >>> metric_words("top1").change(0.007), metric_words("mae").change(0.0012)
            ('−0.7', '−0.0012')
        """
        change = None if drop is None else 0.0 - drop
        return format_points(change) if self.share else format_number(change, 2, plus=True)

    def change_interval(self, drop_interval: Interval | None) -> str:
        """Return the interval of the change, the worse end first.

        Example:
            >>> metric_words("top1").change_interval((-0.002, 0.016))
            '−1.6 … +0.2'
        """
        if drop_interval is None:
            return format_points(None)
        return f"{self.change(drop_interval[1])} … {self.change(drop_interval[0])}"

    def spread(self, half: float) -> str:
        """Return half of an interval's width with its sign and unit.

        Example:
            >>> metric_words("top1").spread(0.434), metric_words("mae").spread(0.02)
            ('±43 points', '±0.020')
        """
        if not self.share:
            return f"±{self.amount(half)}"
        return f"±{100 * half:.0f} points" if half >= 0.0995 else f"±{100 * half:.1f} points"

    @property
    def unit(self) -> str:
        """The unit of a change with a space before it, empty for plain numbers."""
        return " points" if self.share else " dB" if self.kind == DECIBELS else ""


def metric_words(metric: str) -> MetricWords:
    """Return the words for a metric; a user's own goes by its name and reads as a plain number.

    Example:
        >>> metric_words("my_metrics:f1").noun, metric_words("top1@class").noun
        ('f1', 'accuracy of class')
    """
    name, _, output = metric.partition("@")
    row = find_metric(name)
    lower = name.endswith("(lower)")
    own = MetricWords(name.removesuffix("(lower)").rpartition(":")[2], higher_is_better=not lower)
    words = own if row is None else MetricWords(row.noun, row.unit, row.higher_is_better)
    noun = f"{words.noun} of {output}" if output else words.noun
    return MetricWords(noun, words.kind, words.higher_is_better)

"""How the numbers of a metric read: ``86.1 %`` and ``−0.7 points`` for shares, plain numbers for the rest."""

from __future__ import annotations

from dataclasses import dataclass

from tightfit.search.candidates import Interval
from tightfit.units import format_number, format_percent, format_points


@dataclass(frozen=True)
class MetricWords:
    """The words for one metric.

    Args:
        noun: what reports call it.
        share: True for a fraction 0–1 that reads as a percentage.
        higher_is_better: False for errors.
    """

    noun: str
    share: bool = False
    higher_is_better: bool = True

    @property
    def title(self) -> str:
        """The noun with a capital letter."""
        return self.noun[:1].upper() + self.noun[1:]

    @property
    def worsens(self) -> str:
        """The verb for a loss."""
        return "fall" if self.higher_is_better else "rise"

    def score(self, value: float | None) -> str:
        """Gives a value of the metric.

        Example:
            >>> metric_words("top1").score(0.861), metric_words("mae").score(0.01234)
            ('86.1 %', '0.0123')
        """
        return format_percent(value) if self.share else format_number(value)

    def amount(self, value: float | None) -> str:
        """Gives a difference without its direction.

        Example:
            >>> metric_words("top1").amount(0.007), metric_words("mae").amount(0.0012)
            ('0.7 points', '0.0012')
        """
        return f"{format_points(value).removeprefix('+')} points" if self.share else format_number(value, 2)

    def change(self, drop: float | None) -> str:
        """Gives how the metric changed, with its sign and without a unit, from how much worse it is.

        Example:
            >>> metric_words("top1").change(0.007), metric_words("mae").change(0.0012)
            ('−0.7', '+0.0012')
        """
        change = None if drop is None else -drop if self.higher_is_better else drop
        return format_points(change) if self.share else format_number(change, 2, plus=True)

    def change_interval(self, drop_interval: Interval | None) -> str:
        """Gives the interval of the change, the lower end first.

        Example:
            >>> metric_words("top1").change_interval((-0.002, 0.016))
            '−1.6 … +0.2'
        """
        if drop_interval is None:
            return format_points(None)
        low, high = drop_interval[::-1] if self.higher_is_better else drop_interval
        return f"{self.change(low)} … {self.change(high)}"

    @property
    def unit(self) -> str:
        """The unit of a change with a space before it, empty for plain numbers."""
        return " points" if self.share else ""


_WORDS = {
    "top1": MetricWords("accuracy", share=True),
    "top5": MetricWords("top-5 accuracy", share=True),
    "agreement": MetricWords("agreement with the original", share=True),
    "cosine": MetricWords("cosine with the original's outputs"),
    "snr_db": MetricWords("signal-to-noise ratio in dB"),
    "mae": MetricWords("mean absolute error", higher_is_better=False),
    "mse": MetricWords("mean squared error", higher_is_better=False),
}


def metric_words(metric: str) -> MetricWords:
    """Gives the words for a metric; a user's own goes by its name and reads as a plain number.

    Example:
        >>> metric_words("my_metrics:f1").noun
        'f1'
    """
    name, _, output = metric.partition("@")
    words = _WORDS.get(name) or MetricWords(name.rpartition(":")[2])
    noun = f"{words.noun} of {output}" if output else words.noun
    return MetricWords(noun, words.share, words.higher_is_better)

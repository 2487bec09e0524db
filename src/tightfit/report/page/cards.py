"""The key numbers of the chosen candidate, each with a bar beside the original's and the budget's limit."""

from __future__ import annotations

from dataclasses import dataclass

from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.metric_words import metric_words
from tightfit.units import format_bytes, format_milliseconds, format_percent, format_ratio


@dataclass
class Scale:
    """A change on a line: where the interval, the estimate, the original and the limit stand, 0–1."""

    low: float
    high: float
    at: float
    zero: float
    limit: float | None


@dataclass
class Card:
    """One key number of the chosen candidate.

    Args:
        title: words.
        value: see ``title``.
        detail: see ``title``.
        more: a second detail.
        share: of the original, the bar's length.
        limit: the same for the budget's limit.
        scale: shown instead of the bar.
    """

    title: str
    value: str
    detail: str
    more: str = ""
    share: float | None = None
    limit: float | None = None
    scale: Scale | None = None

    @property
    def shows_limit(self) -> bool:
        """True when the card marks the budget's limit."""
        return self.limit_at is not None or (self.scale is not None and self.scale.limit is not None)

    @property
    def bar(self) -> float:
        """The bar's length: the whole line is the original, or whatever is greater."""
        return max(0.0, self.share or 0.0) / self._whole

    @property
    def limit_at(self) -> float | None:
        """Where on the line the budget's limit stands; None when it lies beyond."""
        return None if self.limit is None or self.limit > self._whole else self.limit / self._whole

    @property
    def _whole(self) -> float:
        return max(1.0, self.share or 0.0)


def make_cards(report: Report) -> list[Card]:
    """Return the cards of what was measured, none when nothing could be chosen."""
    chosen, original = report.chosen, report.original
    if chosen is None:
        return []
    cards = [
        _size_card(chosen, original, report),
        _latency_card(chosen, report),
        _accuracy_card(chosen, report),
        _memory_card(chosen, original),
    ]
    return [card for card in cards if card is not None]


def _size_card(chosen: Candidate, original: Candidate | None, report: Report) -> Card | None:
    if chosen.size_bytes is None:
        return None
    packed = chosen.compressed_bytes.get("zip")
    card = Card(
        "File size", format_bytes(chosen.size_bytes), "", f"{format_bytes(packed)} zipped" if packed else ""
    )
    if original is not None and original.size_bytes:
        card.share = chosen.size_bytes / original.size_bytes
        card.detail = f"{format_ratio(card.share)} of {format_bytes(original.size_bytes)}"
        card.limit = None if report.budget.max_size is None else report.budget.max_size / original.size_bytes
    return card


def _latency_card(chosen: Candidate, report: Report) -> Card | None:
    """The ratio: the original's own milliseconds come from another moment and would contradict it."""
    if chosen.latency_ratio is None:
        return None
    card = Card("Latency", format_ratio(chosen.latency_ratio), "of the original", share=chosen.latency_ratio)
    card.limit = report.budget.max_latency_ratio
    if chosen.latency_interval is not None:
        card.detail += f", {' … '.join(format_ratio(end) for end in chosen.latency_interval)}"
    if chosen.latency_ms is not None:
        card.more = f"{format_milliseconds(chosen.latency_ms)} a call"
        if report.budget.max_latency is not None:
            card.limit = report.budget.max_latency * chosen.latency_ratio / chosen.latency_ms
    return card


def _accuracy_card(chosen: Candidate, report: Report) -> Card | None:
    if chosen.accuracy is None:
        return None
    words = metric_words(chosen.metric)
    card = Card(
        printable(words.title, 40), words.score(chosen.accuracy), f"{words.change(chosen.drop)}{words.unit}"
    )
    if chosen.drop_interval is not None:
        card.detail += f", {words.change_interval(chosen.drop_interval)}"
    card.scale = _scale(chosen, report.allowed_drop)
    if chosen.agreement is not None and chosen.metric != "agreement":
        card.more = f"Same decision on {format_percent(chosen.agreement)}"
    return card


def _scale(chosen: Candidate, allowed: float | None) -> Scale | None:
    """The change on a line around the original; to the right is better."""
    if chosen.drop is None or chosen.drop_interval is None or chosen.is_original:
        return None
    worst, best = -chosen.drop_interval[1], -chosen.drop_interval[0]
    limit = None if allowed is None else -allowed
    reach = max(abs(worst), abs(best), abs(limit or 0.0)) or 1.0
    shown = limit is not None and -limit <= 4 * max(abs(worst), abs(best), 0.0025)
    if not shown:
        reach, limit = max(abs(worst), abs(best)) or 1.0, None

    def at(change: float) -> float:
        return 0.5 + change / (2.2 * reach)

    return Scale(at(worst), at(best), at(-chosen.drop), at(0.0), None if limit is None else at(limit))


def _memory_card(chosen: Candidate, original: Candidate | None) -> Card | None:
    if chosen.peak_memory_bytes is None:
        return None
    card = Card(
        "Peak memory", format_bytes(chosen.peak_memory_bytes), "of the process, with Python and LiteRT"
    )
    if original is not None and original.peak_memory_bytes:
        card.share = chosen.peak_memory_bytes / original.peak_memory_bytes
        card.detail = f"{format_ratio(card.share)} of {format_bytes(original.peak_memory_bytes)}"
        card.more = "Python and LiteRT included"
    return card

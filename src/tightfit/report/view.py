"""What the page shows, as words and shares: the template places them and decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tightfit.quantities import format_bytes, format_milliseconds, format_percent, format_ratio
from tightfit.report.chart import Chart, make_chart
from tightfit.report.facts import Fact, budget_facts, data_facts, machine_facts, model_facts, search_facts
from tightfit.report.inside import Inside, look_inside
from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.report.sentences import Choice, choice_sentence, gain_notes
from tightfit.search.candidates import Candidate
from tightfit.search.metric_words import metric_words

WIDE = (920.0, 430.0)
NARROW = (360.0, 380.0)


@dataclass
class Card:
    """One key number of the chosen candidate.

    Args:
        title, value, detail: words. more: a second detail.
        share: of the original, 0–1 of the bar's length. limit: the same for the budget's limit.
    """

    title: str
    value: str
    detail: str
    more: str = ""
    share: float | None = None
    limit: float | None = None


@dataclass
class Cell:
    """A table cell: what it shows, and the number it sorts by (None sorts last)."""

    text: str
    sort: float | None = None
    small: str = ""


@dataclass
class Row:
    """A table row."""

    name: str
    kind: str
    verdict: str
    notes: list[str]
    cells: list[Cell] = field(default_factory=list)


@dataclass
class View:
    """Everything on the page."""

    title: str
    choice: Choice
    finished: bool
    cards: list[Card]
    charts: list[tuple[str, Chart]]
    noun: str
    rows: list[Row]
    inside: list[Inside]
    facts: list[tuple[str, list[Fact]]]
    notes: list[str]
    methods: dict[str, str]
    created: str
    version: str


def make_view(report: Report) -> View:
    """Gives everything on the page in words."""
    charts = [(size, make_chart(report, *box)) for size, box in (("wide", WIDE), ("narrow", NARROW))]
    return View(
        title=printable(report.model.get("name") or "model", 80),
        choice=Choice(*(printable(part) for part in choice_sentence(report))),
        finished=report.finished,
        cards=_cards(report),
        charts=[(size, chart) for size, chart in charts if chart is not None],
        noun=metric_words(report.candidates[0].metric).noun if report.candidates else "",
        rows=[_row(c, report) for c in sorted(report.candidates, key=lambda c: _rank(c, report))],
        inside=[look_inside(c, c.name == report.best) for c in report.candidates if c.failure is None],
        facts=[
            ("Asked for", budget_facts(report.budget)),
            ("Model", model_facts(report.model)),
            ("Data", data_facts(report.data)),
            ("Machine", machine_facts(report.machine)),
            ("Search", search_facts(report)),
        ],
        notes=[printable(note) for note in report.notes],
        methods=report.methods,
        created=printable(report.created or "")[:10],
        version=printable(report.version or ""),
    )


def _rank(candidate: Candidate, report: Report) -> tuple[bool, bool, bool, float]:
    """The chosen one first, then what fits, then the rest, failures last; small files first."""
    return (
        candidate.name != report.best,
        not candidate.meets_budget,
        candidate.failure is not None,
        candidate.size_bytes or float("inf"),
    )


# -- cards -------------------------------------------------------------------------------------


def _cards(report: Report) -> list[Card]:
    chosen, original = report.chosen, report.original
    if chosen is None:
        return []
    cards = [
        _size_card(chosen, original, report),
        _latency_card(chosen, original, report),
        _accuracy_card(chosen, report),
        _memory_card(chosen, original),
    ]
    return [card for card in cards if card is not None]


def _size_card(chosen: Candidate, original: Candidate | None, report: Report) -> Card | None:
    if chosen.size_bytes is None:
        return None
    packed = chosen.compressed_bytes.get("zip")
    card = Card("File size", format_bytes(chosen.size_bytes), "", f"{format_bytes(packed)} zipped" if packed else "")
    if original is not None and original.size_bytes:
        card.share = chosen.size_bytes / original.size_bytes
        card.detail = f"{format_ratio(card.share)} of {format_bytes(original.size_bytes)}"
        card.limit = None if report.budget.max_size is None else report.budget.max_size / original.size_bytes
    return card


def _latency_card(chosen: Candidate, original: Candidate | None, report: Report) -> Card | None:
    if chosen.latency_ms is None and chosen.latency_ratio is None:
        return None
    value = format_ratio(chosen.latency_ratio)
    detail = format_milliseconds(chosen.latency_ms)
    if original is not None and original.latency_ms is not None:
        detail += f", original {format_milliseconds(original.latency_ms)}"
    card = Card("Latency", value, detail, share=chosen.latency_ratio, limit=report.budget.max_latency_ratio)
    if chosen.latency_interval is not None:
        card.more = "95 % interval " + " … ".join(format_ratio(end) for end in chosen.latency_interval)
    if report.budget.max_latency is not None and original is not None and original.latency_ms:
        card.limit = report.budget.max_latency / original.latency_ms
    return card


def _accuracy_card(chosen: Candidate, report: Report) -> Card | None:
    if chosen.accuracy is None:
        return None
    words = metric_words(chosen.metric)
    noun = words.noun[:1].upper() + words.noun[1:]
    card = Card(noun, words.score(chosen.accuracy), f"{words.change(chosen.drop)}{words.unit}")
    if chosen.drop_interval is not None:
        card.detail += f", {words.change_interval(chosen.drop_interval)}"
    if words.share:
        card.share = chosen.accuracy
        original = report.original
        if original is not None and original.accuracy is not None and report.budget.max_drop is not None:
            card.limit = original.accuracy - report.budget.max_drop
    if chosen.agreement is not None and chosen.metric != "agreement":
        card.more = f"Decides like the original on {format_percent(chosen.agreement)}"
    return card


def _memory_card(chosen: Candidate, original: Candidate | None) -> Card | None:
    if chosen.peak_memory_bytes is None:
        return None
    card = Card("Peak memory", format_bytes(chosen.peak_memory_bytes), "of the process that ran it")
    if original is not None and original.peak_memory_bytes:
        card.share = chosen.peak_memory_bytes / original.peak_memory_bytes
        card.detail = f"{format_ratio(card.share)} of {format_bytes(original.peak_memory_bytes)}"
        card.more = "Python and LiteRT included"
    return card


# -- table -------------------------------------------------------------------------------------


def _row(candidate: Candidate, report: Report) -> Row:
    fits = "failed" if candidate.failure is not None else "fits" if candidate.meets_budget else "misses"
    reasons = [] if candidate.meets_budget else candidate.reasons
    notes = [printable(note) for note in [*reasons, *gain_notes(candidate, report.original)]]
    kind = "chosen" if candidate.name == report.best else "original" if candidate.is_original else ""
    if not kind:
        kind = "front" if candidate.name in report.pareto else "other"
    return Row(printable(candidate.name, 60), kind, fits, notes, _cells(candidate, report.original))


def _cells(candidate: Candidate, original: Candidate | None) -> list[Cell]:
    """Size, packed, latency, score, change, agreement, memory."""
    words = metric_words(candidate.metric)
    share = (
        candidate.size_bytes / original.size_bytes
        if candidate.size_bytes and original is not None and original.size_bytes
        else None
    )
    packed = candidate.compressed_bytes.get("zip")
    compared = not candidate.is_original
    change = words.change(candidate.drop) if compared else ""
    interval = words.change_interval(candidate.drop_interval) if compared and candidate.drop_interval else ""
    return [
        Cell(format_bytes(candidate.size_bytes), candidate.size_bytes, format_ratio(share)),
        Cell(format_bytes(packed), packed),
        Cell(format_ratio(candidate.latency_ratio), candidate.latency_ratio, format_milliseconds(candidate.latency_ms)),
        Cell(words.score(candidate.accuracy), candidate.accuracy),
        Cell(change, None if candidate.drop is None else -candidate.drop, interval),
        Cell(format_percent(candidate.agreement), candidate.agreement),
        Cell(format_bytes(candidate.peak_memory_bytes), candidate.peak_memory_bytes),
    ]


def tooltip(candidate: Candidate) -> list[tuple[str, str]]:
    """Gives the lines of a mark's tooltip."""
    words = metric_words(candidate.metric)
    lines: list[tuple[str, Any]] = [
        ("Size", format_bytes(candidate.size_bytes)),
        (words.noun[:1].upper() + words.noun[1:], words.score(candidate.accuracy)),
    ]
    if not candidate.is_original and candidate.drop is not None:
        lines.append(("Change", f"{words.change(candidate.drop)}{words.unit}"))
        if candidate.drop_interval is not None:
            lines.append(("95 % interval", words.change_interval(candidate.drop_interval)))
    if candidate.latency_ratio is not None:
        lines.append(("Latency", format_ratio(candidate.latency_ratio)))
    return lines

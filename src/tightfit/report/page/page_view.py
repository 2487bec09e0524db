"""The view model of the page: texts and fractions; the template only places them."""

from __future__ import annotations

from dataclasses import dataclass

from tightfit.report.chart.chart import Chart, make_chart
from tightfit.report.page.candidate_detail import Inside, look_inside
from tightfit.report.page.candidate_table import Row, make_columns, make_rows
from tightfit.report.page.cards import Card, make_cards
from tightfit.report.page.chosen_view import ChosenView, view_of
from tightfit.report.page.latency_view import SHOWN, LatencySpread, spreads_of
from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.report.report_facts import Fact, budget_facts, facts_of, search_facts
from tightfit.report.sentences import Choice, choice_sentence
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.candidates.selection import not_tried_note
from tightfit.search.verdict.metric_words import metric_words
from tightfit.units import format_bytes, format_ratio

WIDE = (920.0, 430.0)
NARROW = (360.0, 380.0)


Tip = tuple[str, list[tuple[str, str]]]


@dataclass
class View:
    """Everything on the page.

    Args:
        title: title of the page.
        choice: the chosen file.
        finished: whether the search is finished.
        cards: the summary cards.
        limited: whether the budget has a limit.
        charts: the wide and the narrow chart, each with its name; empty when there is nothing to draw.
        tips: name and tooltip lines of each candidate.
        shown: indices of the candidates in the charts.
        noun: the metric in words.
        columns: (title, meaning) of each column of the table.
        rows: rows of the table.
        file: what is known of the chosen file beyond its row.
        inside: details of each candidate.
        facts: titled lists of facts.
        notes: remarks.
        spreads: the distribution of each candidate's latency.
        percentiles: titles of its columns.
        not_tried: (names, reason) of the candidates that were left out.
        methods: topic → how it was measured.
        created: date and time.
        version: version of tightfit.
    """

    title: str
    choice: Choice
    finished: bool
    cards: list[Card]
    limited: bool
    charts: list[tuple[str, Chart]]
    tips: list[Tip]
    shown: list[int]
    noun: str
    columns: list[tuple[str, str]]
    rows: list[Row]
    inside: list[Inside]
    file: ChosenView
    facts: list[tuple[str, list[Fact]]]
    notes: list[str]
    spreads: list[LatencySpread]
    percentiles: list[str]
    not_tried: list[tuple[str, str]]
    methods: dict[str, str]
    created: str
    version: str


def make_view(report: Report) -> View:
    """Return the view of a report."""
    metric = report.candidates[0].metric if report.candidates else "top1"
    noun = printable(metric_words(metric).noun, 40)
    both = [(size, make_chart(report, *box)) for size, box in (("wide", WIDE), ("narrow", NARROW))]
    charts = [(size, chart) for size, chart in both if chart is not None]
    cards = make_cards(report)
    listed = {not_tried_note(reason, names) for reason, names in report.not_tried.items()}
    return View(
        title=printable(report.model.get("name") or "model", 80),
        choice=Choice(*(printable(part) for part in choice_sentence(report))),
        finished=report.finished,
        cards=cards,
        limited=any(card.shows_limit for card in cards),
        charts=charts,
        tips=[(printable(c.name, 60), tooltip(c)) for c in report.candidates],
        shown=[mark.index for mark in charts[0][1].marks] if charts else [],
        noun=noun,
        columns=make_columns(noun, list(report.devices)),
        rows=make_rows(report),
        file=view_of(report),
        inside=[look_inside(c, c.name == report.best) for c in report.candidates if c.failure is None],
        facts=_facts(report, metric),
        notes=[printable(note) for note in report.notes if note not in listed],
        spreads=spreads_of(report),
        percentiles=["median" if name == "50" else f"{name} %" for name in SHOWN],
        not_tried=[(printable(", ".join(n)), printable(why)) for why, n in report.not_tried.items()],
        methods={printable(topic): printable(text) for topic, text in report.methods.items()},
        created=printable(report.created or "")[:10],
        version=printable(report.version or ""),
    )


def _facts(report: Report, metric: str) -> list[tuple[str, list[Fact]]]:
    """The budget, the model, the data and the machine."""
    return [
        ("Budget", budget_facts(report.budget, metric)),
        ("Search", search_facts(report)),
        ("Model", facts_of(report.model)),
        ("Data", facts_of(report.data)),
        ("Machine", facts_of(report.machine)),
    ]


def tooltip(candidate: Candidate) -> list[tuple[str, str]]:
    """Return the lines of a mark's tooltip."""
    words = metric_words(candidate.metric)
    lines = [
        ("Size", format_bytes(candidate.size_bytes)),
        (printable(words.title, 40), words.score(candidate.accuracy)),
    ]
    if not candidate.is_original and candidate.drop is not None:
        lines.append(("Change", f"{words.change(candidate.drop)}{words.unit}"))
        if candidate.drop_interval is not None:
            lines.append(("95 % interval", words.change_interval(candidate.drop_interval)))
    if candidate.latency_ratio is not None:
        lines.append(("Latency", format_ratio(candidate.latency_ratio)))
    return lines

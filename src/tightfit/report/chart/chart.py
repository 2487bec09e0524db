"""The chart of size against accuracy: where every mark, label, tick and limit stands, in pixels.

The template draws what is decided here; a wide and a narrow chart are two calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tightfit.report.chart.axis_scales import ChartAxis, spaced
from tightfit.report.chart.axis_spans import interval_ends, score_axis, score_limit, size_axis
from tightfit.report.chart.label_placement import Box, dodge, place_label
from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.metric_words import MetricWords, metric_words
from tightfit.units import format_bytes

_TICK_ROOM = 56.0


@dataclass
class Mark:
    """One candidate: its circle, its error bar, its label.

    Args:
        index: of the candidate in the report.
        kind: ``chosen``, ``front`` or ``other``.
        x: the middle;
        y: see ``x``.
        radius: its square is proportional to the latency ratio.
        low: pixels of the interval's ends, or None.
        high: see ``low``.
        beyond: True when the value lies below the axis and the mark stands at its end.
        label: the name, shortened; label_x, label_y, anchor: where it stands.
        leader: a line from the circle to a label that stands far from it.
    """

    index: int
    kind: str
    x: float
    y: float
    radius: float
    low: float | None
    high: float | None
    beyond: bool
    label: str
    label_x: float = 0.0
    label_y: float = 0.0
    anchor: str = "start"
    leader: tuple[float, float, float, float] | None = None


@dataclass
class Chart:
    """Everything that is drawn; all numbers are pixels of a drawing of that width and height."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    metric: str
    logarithmic: bool
    marks: list[Mark] = field(default_factory=list)
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    front: list[tuple[float, float]] = field(default_factory=list)
    size_limit: tuple[float, str] | None = None
    drop_limit: tuple[float, str] | None = None

    @property
    def room(self) -> Box | None:
        """Where a candidate keeps to both limits, or to the one that is drawn."""
        if self.size_limit is None and self.drop_limit is None:
            return None
        right = self.size_limit[0] if self.size_limit else self.right
        bottom = self.drop_limit[0] if self.drop_limit else self.bottom
        return Box(self.left, self.top, right, bottom)


def make_chart(report: Report, width: float, height: float) -> Chart | None:
    """Return the chart of the candidates with a size and a score, or None when there are fewer than two."""
    shown = [
        (i, c)
        for i, c in enumerate(report.candidates)
        if c.failure is None and c.size_bytes and c.accuracy is not None and math.isfinite(c.accuracy)
    ]
    if len(shown) < 2:
        return None
    words = metric_words(shown[0][1].metric)
    narrow = width < 500
    chart = Chart(width, height, 52, width - (14 if narrow else 24), 34, height - 44, words.noun, False)
    candidates = [c for _, c in shown]
    x = size_axis(candidates, report, (chart.left + 12, chart.right - 12))
    y = score_axis(candidates, report, words, (chart.bottom - 6, chart.top + 6))
    chart.logarithmic = x.logarithmic
    chart.x_ticks = [(x(v), format_bytes(v)) for v in spaced(x, x.ticks(4 if narrow else 6), _TICK_ROOM)]
    chart.y_ticks = [(y(v), words.score(v)) for v in y.ticks(5)]
    _add_limits(chart, report, words, (x, y))
    chart.marks = [_mark(i, c, report, (x, y)) for i, c in shown]
    for mark in chart.marks:
        mark.radius *= 0.8 if narrow else 1.0
    limit = math.inf if chart.size_limit is None else chart.size_limit[0]
    chart.marks.sort(key=lambda m: (m.x, m.y))
    for mark, moved in zip(
        chart.marks, dodge([m.x for m in chart.marks], 9 if narrow else 15, limit), strict=True
    ):
        mark.x = moved
    chart.front = _front_line(chart.marks)
    chart.marks.sort(key=lambda m: m.kind == "chosen")  # the last one is drawn on top
    _label(chart)
    return chart


def _add_limits(chart: Chart, report: Report, words: MetricWords, axes: tuple[ChartAxis, ChartAxis]) -> None:
    """The budget's lines, where they cross the chart."""
    x, y = axes
    size, score = report.budget.max_size, score_limit(report, words)
    if size is not None and x.inside(size):
        chart.size_limit = (x(size), format_bytes(size))
    if score is not None and y.inside(score):
        direction = "lower" if words.higher_is_better else "higher"
        chart.drop_limit = (y(score), f"{words.amount(report.allowed_drop)} {direction}")


def _mark(index: int, candidate: Candidate, report: Report, axes: tuple[ChartAxis, ChartAxis]) -> Mark:
    """A candidate's circle and error bar; below the axis it stands at the end, without a bar."""
    x, y = axes
    score = float(candidate.accuracy or 0.0)
    beyond = y(score) > y.start
    ends = () if beyond else interval_ends(candidate)
    high, low = (max(y(ends[1]), y.end), min(y(ends[0]), y.start)) if ends else (None, None)
    ratio = candidate.latency_ratio
    known = ratio is not None and math.isfinite(ratio) and ratio > 0
    radius = min(20.0, max(3.5, 6.5 * math.sqrt(ratio))) if ratio is not None and known else 6.5
    at = y.start - radius - 8 if beyond else y(score)
    label = printable(candidate.name, 24)
    return Mark(
        index, _kind(candidate, report), x(candidate.size_bytes or 1), at, radius, low, high, beyond, label
    )


def _kind(candidate: Candidate, report: Report) -> str:
    """How a mark is drawn."""
    if candidate.name == report.best:
        return "chosen"
    return "front" if candidate.name in report.pareto else "other"


def _front_line(marks: Sequence[Mark]) -> list[tuple[float, float]]:
    """The marks that no smaller file beats in score, from left to right."""
    corners: list[tuple[float, float]] = []
    for mark in sorted(marks, key=lambda m: (m.x, m.y)):
        if not mark.beyond and (not corners or mark.y < corners[-1][1]):
            corners.append((mark.x, mark.y))
    return corners


def _label(chart: Chart) -> None:
    """Places the labels, the chosen one's first, where they cover no mark and no other label."""
    taken = [Box(m.x - m.radius, m.y - m.radius, m.x + m.radius, m.y + m.radius) for m in chart.marks]
    taken += [
        Box(m.x - 1, m.high, m.x + 1, m.low) for m in chart.marks if m.high is not None and m.low is not None
    ]
    room = Box(chart.left + 2, chart.top, chart.right, chart.bottom - 2)
    for mark in sorted(chart.marks, key=lambda m: (m.kind != "chosen", m.y)):
        label = place_label(mark.label, (mark.x, mark.y), mark.radius, taken=taken, room=room)
        mark.label_x, mark.label_y, mark.anchor, mark.leader = label.x, label.y, label.anchor, label.leader
        taken.append(label.box)

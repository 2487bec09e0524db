"""The report for a terminal: the choice, a table in 80 columns, what was missed, where nothing was gained."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tightfit.report.device_lines import device_lines
from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.report.sentences import choice_sentence, gain_notes
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.gains import gain_sentences
from tightfit.search.verdict.metric_words import metric_words
from tightfit.units import MISSING, format_bytes, format_count, format_ratio

_WIDTH = 80
_SHORTEST_NAME = 12
_CHOSEN = "→"


def summary(report: Report) -> Group:
    """Return the report as something that a rich console prints; names are never read as markup."""
    parts: list[RenderableType] = [_choice(report), Text(), candidate_table(report)]
    for title, lines in (
        ("Recovery", gain_sentences(report.candidates)),
        ("Does not fit", _misses(report, fits=False)),
        ("Not enough evidence", _unproven(report)),
        ("Left out", _left_out(report)),
        ("Other metrics", _others(report)),
        ("Without a gain", _gains(report)),
        ("Devices", device_lines(report)),
        ("Note", report.notes),
    ):
        parts += _block(title, lines)
    return Group(*parts)


def render_text(report: Report, width: int = 80) -> str:
    """Return the same as plain text without colours."""
    target = io.StringIO()
    Console(file=target, width=width, color_system=None, highlight=False).print(summary(report))
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines()) + "\n"


def _choice(report: Report) -> Text:
    """The headline in bold, the numbers, and what the choice misses."""
    choice = choice_sentence(report)
    text = Text(printable(choice.headline), style="bold")
    for part in (choice.detail, choice.misses):
        if part:
            text.append(" " + printable(part), style="not bold")
    if not report.finished:
        text.append(" The search is not finished: this is the best so far.", style="not bold")
    return text


def candidate_table(report: Report) -> Table:
    """Return the table of the candidates, the chosen one marked; names are shortened to fit 80 columns."""
    noun = printable(metric_words(report.candidates[0].metric).noun if report.candidates else "")
    titles = [
        "size",
        "ratio",
        "latency",
        noun if len(noun) <= 8 else "score",
        "change",
        "95 % interval",
        "fits",
    ]
    rows = [_cells(candidate, report) for candidate in report.candidates]
    widths = [max(len(cell) for cell in column) for column in zip(titles, *rows, strict=True)]
    room = max(_SHORTEST_NAME, _WIDTH - 3 - sum(width + 1 for width in widths))
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    table.add_column("", width=1)
    table.add_column("candidate", no_wrap=True)
    for title in titles:
        table.add_column(Text(title), justify="left" if title == "fits" else "right", no_wrap=True)
    for candidate, cells in zip(report.candidates, rows, strict=True):
        chosen = candidate.name == report.best
        style = "bold" if chosen else "" if candidate.meets_budget else "dim"
        shown = [_CHOSEN if chosen else "", printable(candidate.name, room), *cells]
        table.add_row(*(Text(cell) for cell in shown), style=style)
    return table


def _cells(candidate: Candidate, report: Report) -> list[str]:
    """Size, its ratio, latency ratio, accuracy, change, its interval, whether it fits."""
    if candidate.failure is not None:
        return [MISSING] * 6 + ["failed"]
    words = metric_words(candidate.metric)
    original = report.original
    of_float = (
        candidate.size_bytes / original.size_bytes
        if original is not None and original.size_bytes and candidate.size_bytes
        else None
    )
    is_original = candidate.is_original
    return [
        format_bytes(candidate.size_bytes),
        format_ratio(of_float),
        format_ratio(candidate.latency_ratio),
        words.score(candidate.accuracy),
        "" if is_original else words.change(candidate.drop),
        "" if is_original else words.change_interval(candidate.drop_interval),
        "?"
        if _is_unproven(candidate)
        else MISSING
        if candidate.meets_budget is None
        else "yes"
        if candidate.meets_budget
        else "no",
    ]


def _is_unproven(candidate: Candidate) -> bool:
    """True for what may fit: the samples are too few to say."""
    return candidate.meets_budget is None and candidate.beaten_by is None and bool(candidate.reasons)


def _misses(report: Report, *, fits: bool | None, measured: bool | None = None) -> list[str]:
    """One line a reason of candidates that do not fit, or of which nobody knows; the best's stand above."""
    names: dict[str, list[str]] = {}
    for c in report.candidates:
        wanted = measured is None or measured == (c.beaten_by is None)
        if c.reasons and c.meets_budget is fits and wanted and c.name != report.best:
            names.setdefault(" ".join(c.reasons), []).append(printable(c.name, 40))
    return [f"{', '.join(of)}: {reason}" for reason, of in names.items()]


def _unproven(report: Report) -> list[str]:
    """What may fit, with the samples that would do."""
    prefix = "Not enough evidence: "
    return [line.replace(prefix, "") for line in _misses(report, fits=None, measured=True)]


def _left_out(report: Report) -> list[str]:
    """What was not measured, and why."""
    return _misses(report, fits=None, measured=False)


def _others(report: Report) -> list[str]:
    """One line for each metric besides the main one: the original's value, and every candidate's change."""
    original = report.original
    lines = []
    for name in original.metrics if original is not None else ():
        if original is None or name == original.metric:
            continue
        words, cells = metric_words(name), []
        for c in report.candidates:
            found = c.metrics.get(name)
            if found is not None and not c.is_original and found.get("change") is not None:
                cells.append(f"{printable(c.name, 40)} {words.change(0.0 - found['change'])}")
        score = words.score(original.metrics[name].get("value"))
        unit = f" in{words.unit}" if words.unit else ""
        lines.append(
            f"{printable(words.noun, 60)}: original {score}; change{unit}: {', '.join(cells) or 'none'}"
        )
    return lines


def _gains(report: Report) -> list[str]:
    """One line a candidate without a gain, with the ops that stayed in float."""
    lines = []
    for candidate in report.candidates:
        notes = gain_notes(candidate, report.original)
        left = candidate.plan_summary.left_in_float if candidate.plan_summary else []
        if notes and left:
            notes.append(f"{format_count(len(left), 'op')} stayed in float.")
        if notes:
            lines.append(f"{printable(candidate.name, 40)}: {' '.join(notes)}")
    return lines


def _block(title: str, lines: Sequence[str]) -> list[RenderableType]:
    """A titled list, nothing when it is empty."""
    if not lines:
        return []
    shown = [Padding(Text(printable(line)), (0, 0, 0, 2)) for line in lines]
    return [Text(), Text(title, style="bold"), *shown]

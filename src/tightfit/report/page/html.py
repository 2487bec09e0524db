"""The report as one self-contained HTML file, which opens offline."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from tightfit.files import atomic_file
from tightfit.report.page.page_view import make_view
from tightfit.report.report import Report

_HERE = Path(__file__).parent
_QUANTITY_SPACES = (" points", " MB", " kB", " GB", " B", " ms", " %", " dB")


def render_html(report: Report) -> str:
    """Return the page; all text from models, file names and data is escaped."""
    page: str = environment().get_template("template.html").render(view=make_view(report))
    return page


_NOTEBOOK_STYLE = (
    ".tightfit text{font:11px sans-serif;fill:currentColor}.tightfit line,.tightfit path{stroke:currentColor;"
    "stroke-opacity:.4;fill:none}.tightfit .room{fill:#3a72;stroke:none}.tightfit polyline{fill:none;"
    "stroke:#37a}.tightfit circle{fill:#888}.tightfit .front circle{fill:#37a}.tightfit .chosen "
    "circle{fill:#d50}"
)


def chart_svg(report: Report) -> str:
    """Return the chart of the candidates alone, with its colours; empty while fewer than two are measured."""
    view = make_view(report)
    if not view.charts:
        return ""
    size, chart = view.charts[-1]
    drawn: str = environment().get_template("chart.html").render(view=view, size=size, chart=chart)
    box = f'<div class="tightfit" style="max-width:{chart.width:.0f}px">'
    return f"<style>{_NOTEBOOK_STYLE}</style>{box}{drawn}</div>"


def write_html(report: Report, path: str | Path) -> None:
    """Write the page whole or not at all.

    Raises:
        ModelError: the folder is read-only or the disk is full.
    """
    page = render_html(report).encode("utf-8", errors="replace")
    with atomic_file(Path(path)) as file:
        file.write(page)


@functools.cache
def environment() -> Any:
    """Return the Jinja environment of this folder's templates, with autoescape on."""
    import jinja2  # noqa: PLC0415 - only a page needs it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tight"] = keep_together
    return environment


def keep_together(text: str) -> str:
    """Return the text with no line break between a number and its unit.

    Example:
        >>> keep_together("5.3 MB").encode("ascii", "xmlcharrefreplace")
        b'5.3&#160;MB'
    """
    for unit in _QUANTITY_SPACES:
        text = text.replace(unit, "\N{NO-BREAK SPACE}" + unit[1:])
    return text.replace(" … ", "\N{NO-BREAK SPACE}…\N{NO-BREAK SPACE}")

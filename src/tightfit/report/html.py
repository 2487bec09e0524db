"""The report as one self-contained HTML file, which opens offline."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from tightfit.files import atomic_file
from tightfit.report.page_view import make_view
from tightfit.report.report import Report

_HERE = Path(__file__).parent
_QUANTITY_SPACES = (" points", " MB", " kB", " GB", " B", " ms", " %", " dB")


def render_html(report: Report) -> str:
    """Return the page; all text from models, file names and data is escaped."""
    page: str = environment().get_template("template.html").render(view=make_view(report))
    return page


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

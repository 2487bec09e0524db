"""Where commands print: as wide as the terminal, and in a pipe as wide as the text."""

from __future__ import annotations

import io
import sys
from typing import Final

import click
from rich.console import Console

_WIDE: Final = 100_000
"""Columns in a pipe: nothing is wrapped or cut there."""


def console() -> Console:
    """Return the console of standard output; a pipe gets whole lines without trailing spaces."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=_WIDE, file=_Trimmed())


def name_room(columns: int) -> int | None:
    """Return the most columns of a name in a table: so many on a terminal, no limit in a pipe."""
    return columns if sys.stdout.isatty() else None


class _Trimmed(io.StringIO):
    """Passes lines on to standard output without the spaces that fill up a table's columns."""

    def write(self, text: str) -> int:
        """Print the text."""
        click.echo("\n".join(line.rstrip() for line in text.split("\n")), nl=False)
        return len(text)

"""A progress bar in a notebook, drawn by the browser."""

from __future__ import annotations

import html
import time
from typing import Final
from uuid import uuid4

from IPython.display import HTML, display, update_display

_PAUSE: Final = 0.2
"""Least seconds between two drawings."""


class NotebookBar:
    """One bar below the cell: the stage, its steps and the seconds so far."""

    def __init__(self) -> None:
        self._id = uuid4().hex
        self._name, self._began, self._drawn = "", time.monotonic(), 0.0
        display(HTML(""), display_id=self._id)

    def stage(self, name: str, total: int) -> None:
        """Begin a stage."""
        self._name, self._began = name, time.monotonic()
        self._draw(0, total)

    def advance(self, done: int, total: int) -> None:
        """Draw the bar anew, five times a second at most."""
        if done >= total or time.monotonic() - self._drawn > _PAUSE:
            self._draw(done, total)

    def close(self) -> None:
        """Remove the bar."""
        update_display(HTML(""), display_id=self._id)

    def _draw(self, done: int, total: int) -> None:
        self._drawn = time.monotonic()
        bar = f'<progress value="{done}" max="{total}"></progress> {done}/{total}' if total else ""
        words = f"{html.escape(self._name)} {bar} {self._drawn - self._began:.0f} s"
        update_display(HTML(f"<div>{words}</div>"), display_id=self._id)

"""Progress on a terminal: bars with the time that is left; elsewhere one plain line a stage."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bars:
    """Hears a piece of work and draws it; plain lines where stderr is no terminal, nothing when quiet.

    Args:
        pieces: how many stages there will be, for the overall bar; 0 draws none.
    """

    def __init__(
        self, pieces: int = 0, *, quiet: bool = False, found: Callable[..., None] | None = None
    ) -> None:
        self.console = Console(stderr=True)
        self.quiet = quiet
        self.live = not quiet and self.console.is_terminal
        self.pieces = pieces
        self._found = found
        self._bar = Progress(
            TextColumn("{task.description:<44}"),
            BarColumn(bar_width=18),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._overall = self._bar.add_task("all", total=pieces) if pieces else None
        self._task = self._bar.add_task("", total=None, visible=False)
        self._started = False

    def __enter__(self) -> Self:
        if self.live:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live:
            self._bar.stop()

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of ``total`` steps, 0 for an unknown number; the overall bar moves on."""
        if self.live:
            # Of an unknown number of steps, rich wants to hear None.
            self._bar.reset(self._task, total=total or None, description=name[:44], visible=True)
            if self._overall is not None and self._started:
                self._bar.advance(self._overall)
        elif not self.quiet:
            sys.stderr.write(f"{name}\n")
        self._started = True

    def advance(self, done: int, total: int) -> None:
        """Move the stage's bar."""
        if self.live:
            self._bar.update(self._task, completed=done, total=total)

    def title(self, name: str) -> None:
        """Change what stands before the stage's bar."""
        if self.live:
            self._bar.update(self._task, description=name[:44])

    def found(self, outcome: object) -> None:
        """Pass a result on."""
        if self._found is not None:
            self._found(outcome)


class Stages:
    """Draws one bar after the other for what calls with (what, done, of)."""

    def __init__(self, bars: Bars) -> None:
        self.bars, self.name = bars, ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the bar on, or starts the next one."""
        if stage != self.name:
            self.name = stage
            self.bars.stage(stage, total)
        self.bars.advance(done, total)

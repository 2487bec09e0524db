"""Progress on a terminal: bars with the time that is left; elsewhere one plain line a stage."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.progress import Progress


shown: ContextVar[bool] = ContextVar("shown", default=True)
"""False with ``--quiet``."""


class Bars:
    """Draws the progress of a piece of work; plain lines where stderr is no terminal, nothing when quiet.

    Args:
        pieces: how many stages there will be, for the overall bar; 0 draws none.
    """

    def __init__(
        self, pieces: int = 0, *, quiet: bool = False, found: Callable[..., None] | None = None
    ) -> None:
        quiet = quiet or not shown.get()
        self.quiet = quiet
        self.pieces = pieces
        self._found = found
        self._bar = None if quiet else _live_bar()
        self._overall = self._bar.add_task("all", total=pieces) if self._bar and pieces else None
        self._task: Any = None if self._bar is None else self._bar.add_task("", total=None, visible=False)
        self._started = False
        self._count = 0

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            if self._overall is not None and exception[0] is None:
                done = max(self.pieces, 1)
                self._bar.update(self._overall, total=done, completed=done)
            self._bar.stop()

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of ``total`` steps, 0 for an unknown number; the overall bar moves on."""
        if self._bar is not None:
            # Rich takes None for an unknown number of steps.
            self._bar.reset(self._task, total=total or None, description=name[:44], visible=True)
            if self._overall is not None and self._started:
                self._count += 1
                # The number of stages is an estimate: recoveries and smaller models follow what was measured.
                self.pieces = max(self.pieces, self._count + 1)
                self._bar.update(self._overall, completed=self._count, total=self.pieces)
        elif not self.quiet:
            sys.stderr.write(f"{name}\n")
        self._started = True

    def advance(self, done: int, total: int) -> None:
        """Move the stage's bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)

    def title(self, name: str) -> None:
        """Change what stands before the stage's bar."""
        if self._bar is not None:
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


def _live_bar() -> Progress | None:
    """Return the bars for a terminal, None elsewhere; rich is imported only for a terminal."""
    if not (sys.stderr.isatty() or {"FORCE_COLOR", "TTY_COMPATIBLE"} & set(os.environ)):
        return None
    from rich.console import Console  # noqa: PLC0415 - 0.1 s that only a terminal needs
    from rich.progress import (  # noqa: PLC0415 - the same
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    return Progress(
        TextColumn("{task.description:<44}"),
        BarColumn(bar_width=18),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )

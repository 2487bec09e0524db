"""One way to follow a function of the package: bars in a terminal, a bar in a notebook, silence elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Final, Protocol, TypeAlias, runtime_checkable

from tightfit.errors import OptionError
from tightfit.types import Stage, Steps

_LOG: Final = logging.getLogger("tightfit")
_LOG.addHandler(logging.NullHandler())


@runtime_checkable
class Progress(Protocol):
    """What a caller may pass to follow a function; ``found(outcome)`` is called too where there is one."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of ``total`` steps, 0 where that is not known."""

    def advance(self, done: int, total: int) -> None:
        """Note that some steps of the stage are done."""


ProgressLike: TypeAlias = bool | Progress | Stage | Steps | None
"""None or True: a bar in a terminal or a notebook, silence elsewhere; False: silence; a ``Progress``; or a
function of (stage, steps done, steps in all), or of the two numbers."""


class Tracker:
    """Passes what happens on to the caller's progress, and logs each stage.

    Args:
        inner: the caller's.
        expected: stages in all, for the overall bar; 0 where that is not known.
    """

    def __init__(self, inner: Progress) -> None:
        self.inner = inner
        self.name = ""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage."""
        self.name = name
        _LOG.info("%s", name)
        self.inner.stage(name, total)

    def advance(self, done: int, total: int) -> None:
        """Note steps of the stage."""
        self.inner.advance(done, total)

    def found(self, outcome: object) -> None:
        """Pass a result of a search on."""
        listener = getattr(self.inner, "found", None)
        if listener is not None:
            listener(outcome)

    def stages(self, stage: str, done: int, total: int) -> None:
        """Move on in a stage, which begins where its name is new."""
        if stage != self.name:
            self.stage(stage, total)
        self.advance(done, total)

    def steps(self, name: str) -> Steps:
        """Return a function of (steps done, steps in all) for one stage."""
        return lambda done, total: self.stages(name, done, total)


@contextmanager
def tracked(progress: ProgressLike) -> Iterator[Tracker]:
    """Yield what the parts of a function report to.

    Raises:
        OptionError: the progress is of none of the known kinds.
    """
    if progress is None or progress is True:
        with _drawn() as inner:
            yield Tracker(inner)
    else:
        yield Tracker(_adapted(progress))


@contextmanager
def _drawn() -> Iterator[Progress]:
    """Yield bars where a person looks: in a notebook or a terminal."""
    if _in_notebook():
        from tightfit.api.progress.notebook_bar import NotebookBar  # noqa: PLC0415 - loads IPython

        bar = NotebookBar()
        try:
            yield bar
        finally:
            bar.close()
    elif sys.stderr is not None and sys.stderr.isatty():
        from tightfit.api.progress.terminal_bars import Bars  # noqa: PLC0415 - loads rich

        with Bars() as bars:
            yield bars
    else:
        yield _Silent()


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def _adapted(progress: Progress | Stage | Steps | bool) -> Progress:
    """Return a caller's object or function as an object."""
    if progress is False:
        return _Silent()
    if isinstance(progress, Progress):
        return progress
    if not callable(progress) or not (_takes(progress, 3) or _takes(progress, 2)):
        raise OptionError(
            f"Received progress of type {type(progress).__name__}; expected a function of (stage, done, "
            "total) or of (done, total), an object with stage and advance, or False."
        )
    return _Called(progress)


class _Silent:
    """Progress that nobody follows."""

    def stage(self, name: str, total: int) -> None:
        """Ignore a stage."""

    def advance(self, done: int, total: int) -> None:
        """Ignore a step."""


class _Called:
    """A function of (stage, done, total) or of (done, total) as an object."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function, self._name = function, ""
        self._with_stage = _takes(function, 3)

    def stage(self, name: str, total: int) -> None:
        """Remember the stage."""
        del total
        self._name = name

    def advance(self, done: int, total: int) -> None:
        """Call the function."""
        if self._with_stage:
            self._function(self._name, done, total)
        else:
            self._function(done, total)


def _takes(function: Callable[..., object], count: int) -> bool:
    """Return whether a function can be called with so many arguments; a builtin's signature is not known."""
    try:
        parameters = signature(function)
    except (TypeError, ValueError):
        return True
    try:
        parameters.bind(*range(count))
    except TypeError:
        return False
    return True

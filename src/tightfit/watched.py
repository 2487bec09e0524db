"""The files that a verb reads: a result that was made while one of them changed is made of two files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from tightfit.errors import ModelError, printable

_State = tuple[int, int, int, int]
_states: Final[ContextVar[dict[Path, tuple[str, _State]] | None]] = ContextVar("states", default=None)


@contextlib.contextmanager
def watching(named: Mapping[str, Any]) -> Iterator[None]:
    """Watch files during the block, and those that ``watch`` names inside of it.

    A verb that another one calls shares its watch.

    Args:
        named: what messages call it, such as ``model`` → a path, several, or anything else, which is no file.

    Raises:
        ModelError: a file had changed at the end; whatever the block failed on follows from that.
    """
    if _states.get() is not None:
        yield
        return
    token = _states.set({})
    try:
        for what, value in named.items():
            for each in value if isinstance(value, list | tuple) else [value]:
                if isinstance(each, str | os.PathLike):
                    watch(what, Path(each))
                    watch(what, Path(os.fspath(each).rpartition(":")[0]))  # the arrays of an .npz by name
        yield
        refuse_changed()
    except Exception as error:
        _blame_change(error)
        raise
    finally:
        _states.reset(token)


def _blame_change(error: Exception) -> None:
    try:
        refuse_changed()
    except ModelError as reason:
        if str(reason) != str(error):
            raise reason from error


def watch(what: str, path: Path) -> None:
    """Note what a file is now; a folder or what does not exist is not watched.

    Args:
        what: what messages call it, such as ``model``.
        path: the file.
    """
    states = _states.get()
    with contextlib.suppress(OSError, ValueError):  # the word is no path at all
        if states is not None and path.is_file():
            states.setdefault(path.absolute(), (what, _state(path)))


def refuse_changed() -> None:
    """Check that no watched file changed since it was named.

    Raises:
        ModelError: names the file.
    """
    for path, (what, before) in (_states.get() or {}).items():
        try:
            is_same = _state(path) == before
        except OSError:
            is_same = False
        if not is_same:
            raise ModelError(
                f"The file '{printable(path.name, 80)}' ({what}) changed while it was read, so a result "
                "would be of two files. Run the command again when the file stays as it is."
            )


def _state(path: Path) -> _State:
    facts = os.stat(path)  # noqa: PTH116 - of what a link leads to, as it is read
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns

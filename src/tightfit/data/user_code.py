"""The user's own functions, named ``module:function``: nothing is imported that was not spelled so.

The working folder is never on ``sys.path``. A finder behind all others looks there for the module that the
user named, and for what the modules that it found there import: a ``numpy.py`` or ``tensorflow.py`` beside
them is found by no other import.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final

from tightfit.errors import DataError, TightfitError, first_line, unknown_name

_MACHINERY: Final = ("importlib", "_frozen_importlib")


class WorkingFolderFinder:
    """Finds modules of the working folder for those that the user named, and for no others.

    Attributes:
        folders: name of a module that was found → the folder that it lies in.
    """

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}
        self._named: tuple[str, str] | None = None

    @contextlib.contextmanager
    def naming(self, module: str, folder: str) -> Iterator[None]:
        """Finds a module that the user named in a folder, while the block runs."""
        if self not in sys.meta_path:
            sys.meta_path.append(self)
        self._named = module.partition(".")[0], folder
        try:
            yield
        finally:
            self._named = None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module in the working folder; None where that is not asked for."""
        del target
        if path is not None:
            return None  # a submodule: its package says where it lies
        folder = self._folder_for(name)
        found = None if folder is None else PathFinder.find_spec(name, [folder])
        if found is not None and folder is not None:
            self.folders[name] = folder
        return found

    def _folder_for(self, name: str) -> str | None:
        if self._named is not None and name == self._named[0]:
            return self._named[1]
        return self.folders.get(_importer(sys._getframe(2)))  # noqa: SLF001 - who imports is known by the frame


_finder: Final = WorkingFolderFinder()


def _importer(frame: FrameType | None) -> str:
    """The top-level name of the module that imports, "" when it is not known."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if not name.startswith(_MACHINERY):
            return name.partition(".")[0]
        frame = frame.f_back
    return ""


def load_function(spec: str, expected: str) -> Callable[..., Any]:
    """Return the function that ``module:function`` names; modules in the current folder are found too.

    Args:
        spec: as the user wrote it; importing its module runs the user's code.
        expected: what messages say that the function does.

    Raises:
        DataError: when the module or the function cannot be loaded.
    """
    module_name, _, attribute = spec.partition(":")
    with refused(f"The module '{module_name}' of '{spec}' cannot be imported:"), _at_hand(module_name):
        module = importlib.import_module(module_name)
    target: Any = module
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise DataError(unknown_name(f"function in module '{module_name}'", part, _own_functions(target)))
        target = getattr(target, part)
    if not callable(target):
        raise DataError(f"'{spec}' is of type {type(target).__name__}. Expected {expected}.")
    return target  # type: ignore[no-any-return]


@contextlib.contextmanager
def refused(sentence: str, cure: str = "") -> Iterator[None]:
    """Runs the user's code: what it prints goes to stderr, and whatever it raises is a ``DataError``.

    ``sys.exit``, ``GeneratorExit`` and exceptions of the user's own count too; only Ctrl-C and the errors of
    this package go through as they are.

    Args:
        sentence: what failed, as "'name' failed with".
        cure: a sentence that says what is expected.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (TightfitError, KeyboardInterrupt):
        raise
    except BaseException as error:
        what = f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__
        raise DataError(f"{sentence} {what.rstrip('.')}.{' ' if cure else ''}{cure}") from error


def guarded(items: Iterator[Any], sentence: str, cure: str = "") -> Iterator[Any]:
    """Yields what the user's iterator gives; see ``refused``."""
    while True:
        with refused(sentence, cure):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


@contextlib.contextmanager
def _at_hand(module: str) -> Iterator[None]:
    """Finds the module in the working folder, as long as there is one."""
    try:
        folder = str(Path.cwd())
    except OSError:  # it was removed
        yield
        return
    with _finder.naming(module, folder):
        yield


def _own_functions(target: Any) -> list[str]:
    """What the module defines itself: what it imports is not meant."""
    members = {name: value for name, value in vars(target).items() if not name.startswith("_")}
    own = getattr(target, "__name__", None)
    return [name for name, value in members.items() if getattr(value, "__module__", None) == own]

"""The output folder of a search: checked, locked, cleaned of leftovers, and removed when it is empty."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tightfit.errors import ModelError, OptionError
from tightfit.files import atomic_file
from tightfit.scratch import only_run, scratch_folder, sweep


@contextlib.contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Make and lock the folder, and remove the leftovers of killed runs; see ``remove_made``.

    Raises:
        OptionError: the folder cannot be written, or another run has locked it.
    """
    made = _make(folder)
    try:
        with only_run(folder):
            _prepare(folder)
            yield
    finally:
        remove_made(made)


def _make(folder: Path) -> list[Path]:
    """Make the missing folders, and return them, the innermost first."""
    wanted = [folder / "candidates", folder, *folder.parents]
    made = [path for path in wanted if not path.exists()]
    try:
        (folder / "candidates").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remove_made(made)
        raise OptionError(_refusal(folder, error)) from error
    return made


def _prepare(folder: Path) -> None:
    try:
        for place in (folder, folder / "candidates"):
            sweep(place)
            with scratch_folder(place):
                pass  # it can be written
    except OSError as error:
        raise OptionError(_refusal(folder, error)) from error


def _refusal(folder: Path, error: OSError) -> str:
    return f"Cannot write into '{folder}': {error.strerror}. Choose another folder with -o."


def remove_made(folders: list[Path]) -> None:
    """Remove the folders that this run made, when they are empty."""
    for path in folders:
        with contextlib.suppress(OSError):  # it has results, or does not exist
            path.rmdir()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file whole or not at all.

    Raises:
        ModelError: the file cannot be read or written.
    """
    if source.resolve() == target.resolve():
        return
    try:
        with source.open("rb") as data, atomic_file(target) as file:
            shutil.copyfileobj(data, file)
    except OSError as error:
        raise ModelError(
            f"Cannot copy '{source}' to '{target}': {error.strerror}. Check both places."
        ) from error

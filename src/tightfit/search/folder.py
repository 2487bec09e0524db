"""The folder that a search writes into: checked, locked and swept, and gone when nothing was written."""

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
    """Makes the folder, keeps other runs out of it, and removes what killed runs left; see ``remove_made``.

    Raises:
        OptionError: it cannot be written, or another run writes into it.
    """
    made = _make(folder)
    try:
        with only_run(folder):
            _prepare(folder)
            yield
    finally:
        remove_made(made)


def _make(folder: Path) -> list[Path]:
    """Makes the folders that are missing; gives those, the innermost first."""
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
    """Removes folders that this run made, where nothing is in them."""
    for path in folders:
        with contextlib.suppress(OSError):  # it holds results, or is gone
            path.rmdir()


def copy_file(source: Path, target: Path) -> None:
    """Copies a file whole or not at all.

    Raises:
        ModelError: it cannot be read or written.
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

"""The folder that a search writes into."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from tightfit.errors import OptionError
from tightfit.files import atomic_file


def prepare_folder(folder: Path) -> None:
    """Makes the folder and checks that it can be written.

    Raises:
        OptionError: it cannot.
    """
    try:
        (folder / "candidates").mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / ".writable"):
            pass
        (folder / ".writable").unlink()
    except OSError as error:
        raise OptionError(
            f"Cannot write into '{folder}': {error.strerror}. Choose another folder with -o."
        ) from error


def copy_file(source: Path, target: Path) -> None:
    """Copies a file whole or not at all."""
    if source.resolve() == target.resolve():
        return
    with source.open("rb") as data, atomic_file(target) as file:
        shutil.copyfileobj(data, file)


def remove_traces(folder: Path) -> None:
    """Takes back what a search wrote before the float model was measured; other files stay."""
    (folder / "candidates" / "float32.tflite").unlink(missing_ok=True)
    for path in (folder / "candidates", folder):
        with contextlib.suppress(OSError):  # not empty: an earlier search's files stay
            path.rmdir()

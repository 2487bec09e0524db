"""One check, for every command, of all paths that it reads against all that it writes.

Paths are compared by what they lead to (device and inode), so a link, a hard link or another spelling of a
path is found; of a file that does not exist yet, the folder and the name count.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tightfit.errors import OptionError, printable
from tightfit.scratch import BESIDE
from tightfit.watched import watch

_FOLDER_FILES: Final = (
    "best.tflite", "journal.json", "report.json", "report.html", "tightfit.toml", "gate.md", "gate.xml",
)  # fmt: skip
_DEVICE_FILES: Final = "best-*.tflite"
_FOLDER_PARTS: Final = ("candidates",)
# Files of these kinds are what a command reads; a result has another kind.
_SOURCES: Final = frozenset({
    ".npz", ".npy", ".csv", ".jsonl", ".tar", ".parquet", ".keras", ".h5", ".hdf5", ".onnx", ".pt2", ".pt",
    ".pth", ".pb", ".safetensors", ".py", ".zip", ".pem", ".key", ".jpg", ".jpeg", ".png", ".bmp", ".gif",
    ".webp", ".tif", ".tiff", ".ppm", ".pgm",
})  # fmt: skip
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)

_OPEN_ALREADY: Final = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")
_LARGEST_TEXT: Final = 1 << 28


def check_paths(
    read: Mapping[str, Any], written: Mapping[str, Any], *, folder: str | os.PathLike[str] | None = None
) -> None:
    """Checks that a command replaces nothing that it reads, and no two results have one place.

    The files that are read are watched from now on; see ``watched``.

    Args:
        read: what messages call it (``model``) → a path, a DATA word, or anything else, which names no file.
        written: what messages call it (``The output``) → the path of a file to write, None where there is
        none.
        folder: an output folder of ``optimize``.

    Raises:
        OptionError: names the two paths, or what is no file that may be replaced.
    """
    given = [(what, each) for what, value in read.items() for each in _each(value)]
    sources = [(what, path) for what, value in given if (path := _file_of(value)) is not None]
    results = {what: Path(value) for what, value in written.items() if value is not None}
    for what, path in results.items():
        refuse_irregular(path, what)
        _refuse_source_kind(path, what)
    if folder is not None:
        require_folder(Path(folder))
        results |= {f"The result {name},": path for name, path in _in_folder(Path(folder)).items()}
    _refuse_same(sources, results)
    for what, path in sources:
        watch(what, path)


def refuse_irregular(path: Path, what: str = "The output") -> None:
    """Checks that a path is free, or a regular file, which may be replaced.

    Raises:
        OptionError: it is a folder, pipe, device or socket.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            raise OptionError(
                f"{what} '{printable(path, 80)}' is {kind}, which is not replaced; name a file that may be "
                "written."
            )


def require_folder(path: Path) -> None:
    """Checks that a path is a folder, or can become one.

    Raises:
        OptionError: it, or a part of it, is a file.
    """
    nearest = next((place for place in (path, *path.parents) if place.exists()), path)
    if nearest.exists() and not nearest.is_dir():
        raise OptionError(
            f"Received the output '{printable(path, 80)}'; '{printable(nearest, 80)}' is a file, expected a "
            "folder. Choose another one with -o."
        )


def refuse_endless(path: Path, what: str = "The file") -> None:
    """Checks that a file can be read to its end: no pipe that nobody may ever write into, no device.

    A pipe that this process has open already, as a shell passes for ``<(command)``, may be read.

    Raises:
        OptionError: it is a pipe, device or socket.
    """
    if str(path).startswith(_OPEN_ALREADY):
        return
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    for is_kind, kind in _KINDS[1:]:
        if is_kind(mode):
            raise OptionError(
                f"{what} '{printable(path, 80)}' is {kind}; expected a regular file. Copy its content into "
                "one."
            )


def read_text(path: Path, what: str = "The file") -> str:
    """Return the text of a UTF-8 file of options or results.

    Raises:
        OptionError: it is a pipe, device or socket. OSError, ValueError: it cannot be read as text.
    """
    refuse_endless(path, what)
    size = path.stat().st_size
    if size > _LARGEST_TEXT:
        raise OptionError(f"{what} '{printable(path, 80)}' has {size:,} bytes; expected a text file.")
    return path.read_text(encoding="utf-8")


def _refuse_source_kind(path: Path, what: str) -> None:
    if path.suffix.lower() in _SOURCES and path.exists():
        raise OptionError(
            f"{what} '{printable(path, 80)}' exists and is no result of tightfit ({path.suffix}); name "
            "another file."
        )


def _refuse_same(sources: Sequence[tuple[str, Path]], results: Mapping[str, Path]) -> None:
    seen = {identity(path): f"the {what} itself, which is never changed" for what, path in sources}
    for what, path in results.items():
        key = identity(path)
        if key in seen:
            raise OptionError(f"{what} '{printable(path, 80)}' is {seen[key]}; name another file.")
        seen[key] = f"the place of another result ({what.lower()})"


def identity(path: Path) -> tuple[Any, ...]:
    """Return what identifies a place: device and inode, or those of the folder and the name."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        pass
    else:
        return state.st_dev, state.st_ino
    try:
        state = path.parent.stat()
    except (OSError, ValueError):
        return (os.path.abspath(path),)  # noqa: PTH100 - resolve() follows links, of which there are none
    return state.st_dev, state.st_ino, path.name


def _in_folder(folder: Path) -> dict[str, Path]:
    """What a search replaces in its folder."""
    found = {name: folder / name for name in _FOLDER_FILES}
    found |= {path.name: path for path in sorted(folder.glob(_DEVICE_FILES))}
    for part in _FOLDER_PARTS:
        try:
            entries = sorted((folder / part).iterdir())
        except OSError:
            continue
        # What a killed run left is swept, not replaced.
        kept = [entry for entry in entries if not entry.name.startswith(BESIDE)]
        found |= {f"{part}/{entry.name}": entry for entry in kept}
    for what, path in found.items():
        if path.exists() and not path.is_file():
            refuse_irregular(path, what)
    return found


def _each(value: Any) -> list[Any]:
    """Return the words of data that is given by signature, anything else as it is."""
    return list(value.values()) if isinstance(value, Mapping) else [value]


def _file_of(value: Any) -> Path | None:
    """The file that a MODEL or DATA word names, None for anything else."""
    if not isinstance(value, str | os.PathLike):
        return None
    text = os.fspath(value)
    try:
        if os.path.exists(text):  # noqa: PTH110 - the word may be no path at all
            return Path(text)
        file = text.rpartition(":")[0]
        return Path(file) if file and os.path.isfile(file) else None  # noqa: PTH113 - the same
    except (OSError, ValueError):
        return None

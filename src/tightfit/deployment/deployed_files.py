"""The folder of a deployment: refused where it holds other files, published with its report last."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Final

from tightfit.deployment.c_project import source_names
from tightfit.errors import ModelError, OptionError
from tightfit.files import atomic_file
from tightfit.paths import require_folder

REPORT: Final = "deployment.json"


def refuse_other_files(output: Path, name: str) -> None:
    """Checks that a folder has no files but those of an earlier deployment, as that wrote them.

    Args:
        output: the folder, there or not.
        name: prefix of the files.

    Raises:
        OptionError: it is a file, or has other files.
    """
    require_folder(output)
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not (output / REPORT).is_file():
        raise OptionError(
            f"The folder '{output}' holds other files; expected an empty or new folder, or one of an earlier "
            "deployment."
        )
    known = _earlier_files(output / REPORT)
    for path in (output / file for file in (*source_names(name), f"{name}.tflite")):
        if path.is_file() and known.get(path.name, "") not in ("", digest_of(path)):
            raise OptionError(
                f"'{path}' was changed after it was deployed; choose another folder, or move the file away."
            )
        if path.is_file() and path.name not in known:
            raise OptionError(
                f"'{path}' is no file of the earlier deployment; choose another folder or --name."
            )


def _earlier_files(report: Path) -> dict[str, str]:
    """The files of an earlier deployment with their SHA-256, "" where the report does not have it."""
    try:
        facts = json.loads(report.read_text(encoding="utf-8"))
        return dict.fromkeys(map(str, facts["files"]), "") | dict(facts.get("sha256", {}))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish(scratch: Path, output: Path) -> None:
    """Moves the files into the output; the report last, so that a folder with one is complete."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for path in sorted(scratch.iterdir(), key=lambda p: p.name == REPORT):
            with path.open("rb") as source, atomic_file(output / path.name) as file:
                shutil.copyfileobj(source, file)
    except OSError as error:
        raise ModelError(f"Cannot write '{output}': {error.strerror}. Choose a writable place.") from error

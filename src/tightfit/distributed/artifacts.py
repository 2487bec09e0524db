"""Files by their content: in the object store, and in a folder of each node that its workers share."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tightfit.errors import RuntimeFailureError
from tightfit.files import atomic_file

MOST_BYTES: Final = 4 << 30
"""What the files of a node may take; the oldest ones go."""


@dataclass(frozen=True)
class Artifact:
    """A file that workers may need.

    Args:
        sha256: of its content, in hexadecimal.
        stored: Ray's reference to its bytes.
        name: of the file; what is made of a model records it, and a zip archive holds it.
    """

    sha256: str
    stored: Any
    name: str


def digest(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def stored_file(content: bytes, name: str, put: Callable[[bytes], Any]) -> Artifact:
    """Return the artifact of a file whose bytes go to the object store.

    Args:
        content: of the file.
        name: of the file.
        put: stores bytes and returns their reference.
    """
    return Artifact(digest(content), put(content), name)


def local_file(artifact: Artifact, fetch: Callable[[Any], bytes], folder: Path | None = None) -> Path:
    """Return the path of an artifact on this node; its bytes are fetched where the node has none.

    Args:
        artifact: the file.
        fetch: returns the bytes of a reference.
        folder: of this node's files; None for one of this user among the temporary files.

    Raises:
        RuntimeFailureError: the bytes that came are not those that were sent.
    """
    place = (folder or _node_folder()) / artifact.sha256 / Path(artifact.name).name
    if place.is_file() and digest(place.read_bytes()) == artifact.sha256:
        os.utime(place)
        return place
    content = bytes(fetch(artifact.stored))
    if digest(content) != artifact.sha256:
        raise RuntimeFailureError(
            f"A file that came over the cluster is damaged (expected SHA-256 {artifact.sha256[:12]}…, "
            f"received {digest(content)[:12]}…). Check the node's memory and network."
        )
    _make_room(place.parent.parent, len(content))
    with atomic_file(place) as file:
        file.write(content)
    return place


def _node_folder() -> Path:
    """A private folder of this user; one that somebody else has made is not used."""
    folder = Path(tempfile.gettempdir()) / f"tightfit-artifacts-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise RuntimeFailureError(f"'{folder}' belongs to somebody else or is open to others. Remove it.")
    return folder


def _make_room(folder: Path, wanted: int) -> None:
    """Remove the files that were used longest ago until there is room."""
    files = sorted(folder.glob("*/*"), key=lambda path: path.stat().st_mtime)
    held = sum(path.stat().st_size for path in files)
    for path in files:
        if held + wanted <= MOST_BYTES:
            return
        held -= path.stat().st_size
        path.unlink(missing_ok=True)

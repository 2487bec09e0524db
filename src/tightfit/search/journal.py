"""What a search has found so far, on disk: an interrupted search goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any

from tightfit.errors import DataError
from tightfit.files import atomic_file
from tightfit.search.candidates.candidate import Candidate, PlanSummary


class Journal:
    """The finished candidates of one search, in ``journal.json`` of its folder.

    Args:
        folder: the search's output folder.
        facts: all that the measurements depend on (fingerprints, versions, settings); a journal of other
            facts is not used.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.path = folder / "journal.json"
        self.key = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        self.model = facts.get("model")
        self.is_of_another_model = False
        self.found: dict[str, Candidate] = self._read()

    def get(self, name: str, folder: Path) -> Candidate | None:
        """Return a finished candidate whose file is still as it was measured, or None.

        One that was given up for a budget is not finished: another budget may allow more.
        """
        candidate = self.found.get(name)
        if candidate is None or candidate.path is None or candidate.failure is not None:
            return None
        if candidate.scored_samples is not None:
            return None
        path = folder / candidate.path
        try:
            return candidate if path.is_file() and file_sha256(path) == candidate.sha256 else None
        except OSError:  # a name that no file can have, or a file that cannot be read
            return None

    def put(self, candidate: Candidate) -> None:
        """Adds a candidate and writes the journal."""
        self.found[candidate.name] = candidate
        self.write()

    def write(self) -> None:
        """Write the journal: also an empty one says whose search a folder holds."""
        plain = {
            "key": self.key,
            "model": self.model,
            "candidates": [c.to_dict() for c in self.found.values()],
        }
        with atomic_file(self.path) as file:
            file.write(json.dumps(plain, indent=1).encode())

    def _read(self) -> dict[str, Candidate]:
        try:
            plain = json.loads(self.path.read_text())
            self.is_of_another_model = plain.get("model") not in (None, self.model)
            if plain["key"] != self.key:
                return {}
            read = [Candidate.from_dict(c) for c in plain["candidates"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DataError):
            return {}  # no journal, or not one of ours: everything is measured anew
        return {c.name: c for c in read if is_sound(c)}


def is_sound(candidate: Candidate) -> bool:
    """Return whether every field has the type that a search writes and the path lies within a folder."""
    for field in fields(candidate):
        value, kind = getattr(candidate, field.name), str(field.type)
        if value is None and "None" in kind:
            continue
        if not _fits(value, kind.partition(" | ")[0].partition("[")[0]):
            return False
    path = PurePosixPath(candidate.path or "")
    return not path.is_absolute() and ".." not in path.parts


def _fits(value: object, kind: str) -> bool:
    if kind in ("int", "float"):
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind == "Interval":
        return isinstance(value, tuple) and len(value) == 2 and all(_fits(end, "float") for end in value)
    known = {
        "str": str,
        "bool": bool,
        "Sequence": list | tuple,
        "Mapping": dict,
        "PlanSummary": PlanSummary,
    }.get(kind)
    return known is None or isinstance(value, known)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

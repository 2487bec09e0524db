"""The provenance record of a file: recipe, versions, data, and the outputs for seeded probes.

The record is deflated JSON in the metadata entry ``tightfit.provenance``. Its size is 1 % of the constants',
at least 1 kB and at most 8 kB: outputs keep as many values as fit, then long lists are truncated.
"""

from __future__ import annotations

import functools
import hashlib
import json
import mmap
import platform
import secrets
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from tightfit import __version__
from tightfit.errors import ModelError
from tightfit.graph.ir import Model
from tightfit.provenance.probes import Limits, ProbeAnswer, summarize
from tightfit.types import Array

KEY: Final = "tightfit.provenance"
LEAST_BYTES: Final = 1024
MOST_BYTES: Final = 8192
_SHARE: Final = 0.01
_LISTED: Final = 12
_LONGEST: Final = 160
_READ_LIMIT: Final = 1 << 20
_FEWEST: Final = 4
_MOST_VALUES: Final = 512
_MOST_PROBES: Final = 16
_LARGEST: Final = 1e39

Found = Sequence[Mapping[str, tuple[Array, float | None]]]
"""For each probe, output name → its values, and its quantization step or None."""


@dataclass
class ProvenanceRecord:
    """The provenance record of a file.

    Args:
        facts: plain values: ``versions``, ``source``, ``scheme``, ``plan``, ``steps``, ``data`` …
        limits: input name → (lowest, highest) value of the seeded inputs.
        answers: for each probe, output name → recorded output.
        unreplayable: why no outputs are recorded; empty when they are.
        signature: key of the signature that was run; None for the main graph.
    """

    facts: dict[str, Any]
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    answers: list[dict[str, ProbeAnswer]] = field(default_factory=list)
    unreplayable: str = ""
    signature: str | None = None

    def encode(self) -> bytes:
        """Return the bytes of the metadata entry."""
        plain = {
            "facts": self.facts,
            "limits": {n: list(v) for n, v in self.limits.items()},
            "answers": [{n: a.as_json() for n, a in probe.items()} for probe in self.answers],
            "unreplayable": self.unreplayable,
            "signature": self.signature,
        }
        return zlib.compress(json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode(), 9)

    @classmethod
    def decode(cls, data: bytes) -> ProvenanceRecord:
        """Return the record in a metadata entry.

        Raises:
            ModelError: the entry is damaged or too large.
        """
        try:
            inflater = zlib.decompressobj()
            plain = json.loads(inflater.decompress(data, _READ_LIMIT))
            limits = {str(n): (float(v[0]), float(v[1])) for n, v in plain["limits"].items()}
            _refuse_odd(plain["facts"], limits, len(plain["answers"]))
            found = [{n: ProbeAnswer.from_json(a) for n, a in probe.items()} for probe in plain["answers"]]
            called = plain.get("signature")
            return cls(
                dict(plain["facts"]), limits, found, str(plain["unreplayable"]), called and str(called)
            )
        except (zlib.error, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ModelError(
                f"The file's provenance is damaged ({error}); expected what tightfit writes. "
                "Make the file again."
            ) from error


def _refuse_odd(facts: Mapping[str, Any], limits: Limits, probes: int) -> None:
    kinds = {"versions": dict, "source": dict, "data": dict, "steps": list}
    for name, kind in kinds.items():
        if not isinstance(facts.get(name, kind()), kind):
            raise TypeError(f"'{name}' of another type")
    if not all(abs(end) < _LARGEST for ends in limits.values() for end in ends):
        raise ValueError("limits that are no numbers")
    if probes > _MOST_PROBES:
        raise ValueError(f"{probes} probes")


def read_record(model: Model) -> ProvenanceRecord | None:
    """Return the record of a model, or None when it has none.

    Raises:
        ModelError: the record is damaged.
    """
    data = model.metadata.get(KEY)
    return None if data is None else ProvenanceRecord.decode(data)


def reserve(model: Model) -> bytes:
    """Add a placeholder of the record's full size to a model's metadata, and return its mark.

    The file is then written once: ``fill`` overwrites the placeholder after LiteRT has run the probes.
    """
    stored = sum(t.data.nbytes for g in model.graphs for t in g.tensors() if t.data is not None)
    mark = secrets.token_bytes(32)
    model.metadata[KEY] = mark.ljust(room_for(stored), b"\0")
    return mark


def room_for(stored_bytes: int) -> int:
    """Return the size in bytes of the record of a model.

    Args:
        stored_bytes: size in bytes of the model's constants.

    Example:
        >>> room_for(20_000), room_for(300_000), room_for(5_000_000)
        (1024, 3000, 8192)
    """
    return min(MOST_BYTES, max(LEAST_BYTES, round(_SHARE * stored_bytes)))


def fill(model: Model, path: Path, mark: bytes, record: ProvenanceRecord, found: Found) -> None:
    """Write the record over its placeholder, in the file and in the model.

    Args:
        model: the model with the placeholder in its metadata.
        path: its file, with the same placeholder.
        mark: the placeholder from ``reserve``.
        record: the record without outputs.
        found: outputs and their steps for each probe; the record keeps as many values as fit.
    """
    room = len(model.metadata[KEY])
    data = _fitted(record, found, room).ljust(room, b"\0")
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        place = content.find(mark)
        content[place : place + room] = data
    model.metadata[KEY] = data


def versions() -> dict[str, str]:
    """Return the versions of tightfit, LiteRT and Python, and the kind of the machine."""
    try:
        litert = version("ai-edge-litert")
    except PackageNotFoundError:
        litert = "unknown"
    return {
        "tightfit": __version__,
        "litert": litert,
        "python": platform.python_version(),
        "machine": f"{platform.machine()} {platform.system()}",
    }


def source_facts(path: Path) -> dict[str, Any]:
    """Return name, size and SHA-256 of the file that a model was made from."""
    state = path.stat()
    digest = _sha256(path, state.st_mtime_ns, state.st_size)
    return {"name": path.name, "size_bytes": state.st_size, "sha256": digest}


@functools.lru_cache(maxsize=8)
def _sha256(path: Path, changed: int, size: int) -> str:  # noqa: ARG001 - a changed file is another key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def grouped(reasons: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line for each distinct (kind, reason) pair with its number, the most frequent first.

    Example:
        >>> grouped([("MUL", "no kernel"), ("MUL", "no kernel")])
        ['2 MUL: no kernel']
    """
    return [f"{n} {kind}: {reason}" for (kind, reason), n in Counter(reasons).most_common()]


def _fitted(record: ProvenanceRecord, found: Found, most: int) -> bytes:
    """The encoded record within its size: with fewer values for each output, then with shorter lists."""
    record.facts, kept = _bounded(record.facts), _MOST_VALUES
    while True:
        record.answers = [{n: summarize(v, s, kept) for n, (v, s) in p.items()} for p in found]
        data = record.encode()
        if len(data) <= most or kept <= _FEWEST:
            break
        kept //= 2
    for shortened in ("left_in_float", "steps", "overrides", "layout"):
        if len(data) > most:
            record.facts[shortened] = []
            data = record.encode()
    if len(data) > most:
        record.answers, record.unreplayable = [], "too many outputs for a record of this size"
        data = record.encode()
    return data


def _bounded(value: Any) -> Any:
    """Plain values with long strings and lists truncated, so that long names cannot fill the record."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
    if isinstance(value, Mapping):
        return {str(k): _bounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        rest = [f"… and {len(value) - _LISTED} more"] if len(value) > _LISTED else []
        return [_bounded(v) for v in value[:_LISTED]] + rest
    return value

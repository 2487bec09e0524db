"""Replays a file's own probes on this machine's LiteRT and says how far its answers are from the recorded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tightfit.errors import ModelError
from tightfit.graph.reader import read_model
from tightfit.provenance.probes import THREADS, ProbeAnswer, answers, digest, places
from tightfit.provenance.record import ProvenanceRecord, read_record, versions
from tightfit.runtime.session import Session
from tightfit.types import Array


@dataclass(frozen=True)
class ReplayDifference:
    """One output of one probe: how far it is from what is recorded.

    Args:
        equal: to the bit, over all elements.
        steps: the largest difference among the recorded values.
        different: share of the recorded values that differ, 0–1.
        reason: why they cannot be compared.
    """

    probe: int
    output: str
    equal: bool
    steps: float = 0.0
    different: float = 0.0
    reason: str = ""


@dataclass
class Replay:
    """What a replay found.

    Args:
        facts: what the file says about itself.
        here: versions and machine of this replay.
        data_matches: whether the given data is what the file was made with, None when none was given.
    """

    path: str
    facts: dict[str, Any]
    here: dict[str, str]
    differences: list[ReplayDifference] = field(default_factory=list)
    data_matches: bool | None = None

    @property
    def equal(self) -> bool:
        """True when every answer is equal to the bit."""
        return all(d.equal for d in self.differences)

    @property
    def steps(self) -> float | None:
        """The largest difference in steps, None where an answer cannot be compared."""
        if any(d.reason for d in self.differences):
            return None
        return max((d.steps for d in self.differences), default=0.0)

    def within(self, steps: float) -> bool:
        """Return True when the answers are equal, or no recorded value is further off than so many steps."""
        return self.equal or (steps > 0 and self.steps is not None and self.steps <= steps)

    def verdict(self) -> str:
        """``equal``, ``within n steps`` or ``different``."""
        if self.equal:
            return "equal"
        if self.steps is None:
            return "different: " + next(d.reason for d in self.differences if d.reason)
        return f"within {max(1, int(np.ceil(self.steps)))} steps"

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "path": self.path,
            "equal": self.equal,
            "steps": self.steps,
            "verdict": self.verdict(),
            "data_matches": self.data_matches,
            "made_with": self.facts,
            "replayed_with": self.here,
            "outputs": [asdict(d) for d in self.differences],
        }


def replay(path: str | Path, *, fingerprint: str | None = None) -> Replay:
    """Run the probes of a file and compare the results with the recorded answers.

    Args:
        fingerprint: of data, to be compared with that of the data that the file was made with.

    Raises:
        ModelError: the file cannot be read, or carries no provenance or no answers.
        RuntimeFailureError: LiteRT does not run it.
    """
    record = read_record(read_model(path))
    if record is None:
        raise ModelError(
            f"'{path}' carries no provenance; expected a file that tightfit wrote. Files of other tools, and "
            "those written with --no-provenance, cannot be replayed; 'tightfit diff' compares two files."
        )
    if not record.answers:
        raise ModelError(f"'{path}' carries no answers to replay: {record.unreplayable or 'none recorded'}.")
    known = record.facts.get("data") or {}
    matches = None if fingerprint is None else fingerprint == known.get("fingerprint")
    return Replay(str(path), record.facts, versions(), _compare(Path(path), record), matches)


def _compare(path: Path, record: ProvenanceRecord) -> list[ReplayDifference]:
    found = []
    with Session(path, threads=THREADS, signature=record.signature) as session:
        given = answers(session, record.limits, len(record.answers))
    for number, (wanted, got) in enumerate(zip(record.answers, given, strict=True)):
        for name, answer in wanted.items():
            values = got.get(name)
            found.append(_difference(number, name, answer, values))
    return found


def _difference(probe: int, name: str, answer: ProbeAnswer, values: Array | None) -> ReplayDifference:
    if values is None:
        return ReplayDifference(probe, name, equal=False, reason=f"there is no output '{name}'")
    if (values.dtype.name, values.shape) != (answer.dtype, answer.shape):
        received = f"{values.dtype}{list(values.shape)}"
        expected = f"{answer.dtype}{list(answer.shape)}"
        return ReplayDifference(
            probe, name, equal=False, reason=f"'{name}' is {received}, recorded was {expected}"
        )
    if digest(values) == answer.digest:
        return ReplayDifference(probe, name, equal=True)
    kept = values.reshape(-1)[places(values.size, answer.values.size)]
    distance = np.abs(kept.astype(np.float64) - answer.values.astype(np.float64))
    if not np.isfinite(distance).all():
        return ReplayDifference(probe, name, equal=False, reason=f"'{name}' holds NaN or infinity")
    steps = float(distance.max(initial=0.0)) / answer.step
    return ReplayDifference(probe, name, equal=False, steps=steps, different=float((distance > 0).mean()))

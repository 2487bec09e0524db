"""Replay a file's probes on this machine's LiteRT and compare the outputs with the recorded ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from tightfit.errors import ModelError
from tightfit.graph.reader import read_model
from tightfit.kinds import Pathlike
from tightfit.provenance.probes import THREADS, ProbeAnswer, answers, digest, places
from tightfit.provenance.record import ProvenanceRecord, read_record, versions
from tightfit.provenance.tolerance import Tolerance, tolerance
from tightfit.result import Result, Row
from tightfit.runtime.emulator import Emulator
from tightfit.runtime.session import Session
from tightfit.types import Array


@dataclass(frozen=True)
class ReplayDifference:
    """The difference between one output of one probe and the recorded output.

    Args:
        probe: index of the probe.
        output: name of the output.
        equal: whether all elements are equal to the bit.
        steps: largest difference among the recorded values, in quantization steps.
        different: fraction of the recorded values that differ, 0–1.
        reason: why the outputs cannot be compared; empty when they can.
    """

    probe: int
    output: str
    equal: bool
    steps: float = 0.0
    different: float = 0.0
    reason: str = ""


@dataclass(frozen=True, repr=False)
class Replay(Result):
    """The result of a replay.

    Args:
        path: the file.
        facts: the recorded facts of the file.
        here: versions and machine of this replay.
        differences: one entry for each output of each probe.
        data_matches: whether the given data is the data of the record; None when no data was given.
        signature_matches: whether the given key signed the file and it is unchanged; None without a key.
        allowed: how far the outputs of a sound file may be from the recorded ones on this machine.
    """

    path: str
    facts: dict[str, object]
    here: dict[str, str]
    differences: list[ReplayDifference] = field(default_factory=list)
    data_matches: bool | None = None
    signature_matches: bool | None = None
    allowed: Tolerance = field(default_factory=Tolerance)

    @property
    def notes(self) -> list[str]:
        """What is the matter with the data and the key, where they were given."""
        data = ["The data is not the data of the record."] if self.data_matches is False else []
        return data + (["The key did not sign the file."] if self.signature_matches is False else [])

    def to_dict(self) -> dict[str, object]:
        """Return plain values."""
        return self.as_json()

    def headline(self) -> str:
        """Return the verdict on outputs, data and signature."""
        other = "" if self.data_matches is not False else ", made with other data"
        unsigned = "" if self.signature_matches is not False else ", not signed by the key"
        return f"Replay('{self.path}', {self.verdict()}{other}{unsigned})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the difference of each output of each probe."""
        rows = [(d.probe, d.output, d.equal, d.steps, d.reason) for d in self.differences]
        return ("probe", "output", "equal", "steps", ""), rows

    @property
    def equal(self) -> bool:
        """True when every output is equal to the bit."""
        return all(d.equal for d in self.differences)

    @property
    def steps(self) -> float | None:
        """The largest difference in quantization steps; None when an output cannot be compared."""
        if any(d.reason for d in self.differences):
            return None
        return max((d.steps for d in self.differences), default=0.0)

    def within(self, steps: float | None = None) -> bool:
        """Return True when the outputs are equal, or all recorded values are within ``steps`` steps.

        Args:
            steps: of quantization; None for what the arithmetic of the file allows on this machine.
        """
        most = self.allowed.steps if steps is None else steps
        return self.equal or (most > 0 and self.steps is not None and self.steps <= most)

    def verdict(self) -> str:
        """Return ``equal``, ``within n steps`` or ``different`` with the reason."""
        if self.equal:
            return "equal"
        if self.steps is None:
            return "different: " + next(d.reason for d in self.differences if d.reason)
        found = f"within {max(1, int(np.ceil(self.steps)))} steps"
        if self.within():
            found += f", as expected: {self.allowed.reason}"
        return found

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "path": self.path,
            "equal": self.equal,
            "steps": self.steps,
            "verdict": self.verdict(),
            "allowed_steps": self.allowed.steps,
            "allowed_because": self.allowed.reason,
            "data_matches": self.data_matches,
            "signature_matches": self.signature_matches,
            "made_with": self.facts,
            "replayed_with": self.here,
            "outputs": [asdict(d) for d in self.differences],
        }


def replay(path: Pathlike, *, fingerprint: str | None = None, on: Emulator | None = None) -> Replay:
    """Run the probes of a file and compare the results with the recorded answers.

    Args:
        path: a ``.tflite`` written by tightfit.
        fingerprint: fingerprint of data, to be compared with the recorded one; None to compare none.
        on: the emulated core that replays; None for this computer.

    Raises:
        ModelError: the file cannot be read, or has no provenance or no probe outputs.
        RuntimeFailureError: LiteRT cannot run the file.
    """
    model = read_model(Path(path))
    record = read_record(model)
    if record is None:
        raise ModelError(
            f"'{path}' carries no provenance; expected a file that tightfit wrote. Files of other tools, and "
            "those written with --no-provenance, cannot be replayed; 'tightfit diff' compares two files."
        )
    if not record.answers:
        raise ModelError(f"'{path}' carries no answers to replay: {record.unreplayable or 'none recorded'}.")
    known = record.facts.get("data") or {}
    matches = None if fingerprint is None else fingerprint == known.get("fingerprint")
    here, made = versions(), record.facts.get("versions") or {}
    if on is not None:
        here = here | {"machine": "aarch64", "core": on.title}
    allowed = tolerance(model, same_machine=made.get("machine") == here["machine"])
    return Replay(str(path), record.facts, here, _compare(Path(path), record, on), matches, allowed=allowed)


def _compare(path: Path, record: ProvenanceRecord, on: Emulator | None) -> list[ReplayDifference]:
    found = []
    with Session(path, threads=THREADS, signature=record.signature, on=on) as session:
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

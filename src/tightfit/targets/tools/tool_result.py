"""The result of a tool on a file: the same fields for a compiler, an interpreter and an accelerator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tightfit.units import format_decibels, format_percent

Place = tuple[int, int]
"""(graph, index of the op in it)."""


@dataclass(frozen=True)
class OutputAgreement:
    """How far one output of the tool is from LiteRT's CPU kernels.

    Args:
        snr_db: signal-to-noise ratio, None when equal.
        steps: largest difference in steps of the output's scale; None for a float output.
        usual_db: how far two sets of LiteRT's CPU kernels are apart on it, None when equal.
        counts: its values are whole numbers that are no steps, such as indices: only equal ones are right.
    """

    name: str
    snr_db: float | None
    steps: float | None = None
    usual_db: float | None = None
    counts: bool = False

    @property
    def exact(self) -> bool:
        """True when the output differs by a step or by float32's rounding at most: see ``EXACT_DB``."""
        if self.snr_db is None or (self.steps is not None and self.steps <= 1):
            return True
        return self.steps is None and not self.counts and self.snr_db >= EXACT_DB

    @property
    def right(self) -> bool:
        """True when the output differs no more than rounding does: see ``MIN_SNR_DB``."""
        if self.exact:
            return True
        if self.counts or self.snr_db is None:
            return False
        usual = self.usual_db if self.usual_db is not None else MIN_SNR_DB
        return self.snr_db >= min(MIN_SNR_DB, usual - SLACK_DB)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(vars(self)) | {"right": self.right}


MIN_SNR_DB = 30.0
"""An output below this is wrong, unless the CPU's own kernels are as far apart (within ``SLACK_DB``)."""
EXACT_DB = 100.0
"""Float outputs above this differ by the order of sums alone."""
SLACK_DB = 6.0


@dataclass(frozen=True)
class OpAgreement:
    """One op of the accelerator beside the CPU's kernels on the same inputs.

    Args:
        place: (graph, index).
        kind: of the op.
        output: how far the worst of its outputs is.
        share: fraction of its values that differ.
    """

    place: Place
    kind: str
    output: OutputAgreement
    share: float

    @property
    def right(self) -> bool:
        """True when the op differs no more than rounding does."""
        return self.output.right

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(vars(self)) | {"place": list(self.place), "output": self.output.to_dict()}

    def words(self) -> str:
        """Return how far it is, for people."""
        apart = "other values than" if self.output.steps is None else f"{self.output.steps:g} steps from"
        level = "" if self.output.snr_db is None else f", {format_decibels(self.output.snr_db)}"
        return f"{apart} the CPU's for the same inputs in {format_percent(self.share)} of them{level}"


@dataclass(frozen=True)
class ToolResult:
    """What the tool of a target did with a file.

    Args:
        tool: its name, with the version where it says one.
        refused: why it refuses the whole file; "" when it takes it.
        accelerated: ops that it places on the accelerator; None when it places none by itself.
        reasons: op → why it is not on the accelerator, in the tool's words; "" where it gave none.
        wrong: op → what is wrong with its values.
        pieces: how many pieces the accelerator runs; None when the tool does not say.
        outputs: how far the answers are from the CPU's.
        ops: where an output is not exact, the ops one by one with the inputs that they have there.
        latency_ms: of one inference, estimated or measured as ``sentences`` say; 0 when not known.
        memory_bytes: what the tool measured that the target's memory must hold; 0 when not known.
        sentences: what it says, for people.
        details: its own numbers, for ``--json``.
    """

    tool: str
    refused: str = ""
    accelerated: frozenset[Place] | None = None
    reasons: Mapping[Place, str] = field(default_factory=dict)
    wrong: Mapping[Place, str] = field(default_factory=dict)
    pieces: int | None = None
    outputs: tuple[OutputAgreement, ...] = ()
    ops: tuple[OpAgreement, ...] = ()
    latency_ms: float = 0.0
    memory_bytes: int = 0
    sentences: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wrong_outputs(self) -> tuple[str, ...]:
        """Names of the outputs that are wrong; none where every op is right and only rounding adds up."""
        if self.ops and all(op.right for op in self.ops):
            return ()
        return tuple(output.name for output in self.outputs if not output.right)

    @property
    def right(self) -> bool:
        """True when no op and no output is wrong."""
        return not self.wrong and not self.wrong_outputs

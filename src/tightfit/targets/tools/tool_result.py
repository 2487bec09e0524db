"""The result of a tool on a file: the same fields for a compiler, an interpreter and an accelerator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Place = tuple[int, int]
"""(graph, index of the op in it)."""


@dataclass(frozen=True)
class OutputAgreement:
    """How far one output of the tool is from LiteRT's CPU kernels.

    Args:
        snr_db: signal-to-noise ratio, None when equal.
        steps: largest difference in steps of the output's scale; None for a float output.
        usual_db: how far two sets of LiteRT's CPU kernels are apart on it, None when equal.
    """

    name: str
    snr_db: float | None
    steps: float | None = None
    usual_db: float | None = None

    @property
    def right(self) -> bool:
        """True when the output differs no more than rounding does: see ``MIN_SNR_DB``."""
        if self.snr_db is None or (self.steps is not None and self.steps <= 1):
            return True
        usual = self.usual_db if self.usual_db is not None else MIN_SNR_DB
        return self.snr_db >= min(MIN_SNR_DB, usual - SLACK_DB)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(vars(self)) | {"right": self.right}


MIN_SNR_DB = 30.0
"""An output below this is wrong, unless the CPU's own kernels are as far apart (within ``SLACK_DB``)."""
SLACK_DB = 6.0


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
    latency_ms: float = 0.0
    memory_bytes: int = 0
    sentences: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """True when no output is wrong."""
        return not self.wrong and all(output.right for output in self.outputs)

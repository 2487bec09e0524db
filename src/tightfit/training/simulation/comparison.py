"""What a comparison of the simulation with LiteRT gives. Imports no Keras."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tightfit.result import Result, Row

UNDECIDED: Final = "Each output is one number: there are no top-1 decisions to compare."


@dataclass(frozen=True)
class OpDifference:
    """The difference between the simulation of one op and the device.

    Args:
        name: the op's name.
        kind: the op's kind.
        steps: the largest difference, in quantization steps of its output.
        share: fraction of values that differ, 0–1.
    """

    name: str
    kind: str
    steps: float
    share: float


@dataclass(frozen=True, repr=False)
class Simulation(Result):
    """The result of a comparison.

    Args:
        ops: the difference of every integer op, in the order of the graph.
        equal_decisions: fraction of samples with the same top-1 decision end to end, 0–1; of tied outputs
            the first counts.
        tied_decisions: fraction of samples with a largest output in common, 0–1.
        samples: number of samples that ran end to end.
        compared: number of samples that the ops were compared on.
        left_out: number of integer ops whose tensors the file does not have (float islands, fused outputs).
        path: the file that was compared.
        device: the processor whose kernels were simulated, ``x86`` or ``arm``.
        ran_on: where LiteRT ran the file, "" for this computer.
        decides: False where each output is one number, which has no top-1 decision: the shares are 1 then.
    """

    ops: list[OpDifference]
    equal_decisions: float
    tied_decisions: float
    samples: int
    compared: int = 0
    left_out: int = 0
    path: Path | None = None
    device: str = "x86"
    ran_on: str = ""
    decides: bool = True

    @property
    def notes(self) -> list[str]:
        """What was compared where, and what was not compared."""
        left = [f"{self.left_out} integer ops have no tensor in the file."] if self.left_out else []
        undecided = [] if self.decides else [UNDECIDED]
        return left + undecided + ([self.ran_on] if self.ran_on else [])

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the difference of every op, in steps."""
        return ("op", "kind", "steps"), [(op.name, op.kind, op.steps) for op in self.ops]

    @property
    def largest_steps(self) -> float:
        """The largest difference of all ops."""
        return max((op.steps for op in self.ops), default=0.0)

"""What ``check`` finds: where each op runs, and what that means for the model."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tightfit.targets.profile import Target
from tightfit.units import format_bytes, format_percent


@dataclass(frozen=True)
class Placement:
    """Where one op runs.

    Args:
        graph: index of its graph.
        index: of the op in its graph.
        name: its first output's.
        reason: why it falls back or what is wrong with its values, in words; "" when it runs.
        rule: the limit's sentence.
        fix: what to change.
        refuses: the compiler refuses the whole file because of the op.
        wrong: what is wrong with the values that the accelerator computes; "" when they are right.
    """

    graph: int
    index: int
    kind: str
    name: str
    macs: int
    accelerated: bool = True
    reason: str = ""
    rule: str = ""
    fix: str = ""
    refuses: bool = False
    wrong: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(vars(self))


RUNS, FALLS_BACK, REFUSED, WRONG = "runs", "falls back", "refused", "runs, wrong"
"""The kinds of a verdict on one op."""


@dataclass(frozen=True)
class Verdict:
    """What a target does with a model.

    Args:
        placements: every op, in the file's order.
        refused: why the compiler refuses the whole file, "" when it does not.
        weight_bytes: of all constants.
        activation_bytes: what is alive at once, at least.
        pieces: how many pieces of the graph the accelerator runs.
        judge: "rules", "document: …" where the rules are a document's, or the tool whose verdict this is.
        wrong_outputs: names of the outputs that the tool saw to be wrong.
    """

    target: Target
    placements: tuple[Placement, ...]
    weight_bytes: int
    activation_bytes: int
    refused: str = ""
    memory_limit: int | None = None
    pieces: int = 0
    judge: str = "rules"
    wrong_outputs: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """False when the accelerator computes wrong values for an op or an output."""
        return not self.wrong_outputs and not any(p.wrong for p in self.placements)

    def kind(self, placement: Placement) -> str:
        """Return the verdict on one op: ``runs``, ``falls back``, ``refused`` or ``runs, wrong``."""
        if placement.accelerated:
            return WRONG if placement.wrong else RUNS
        return REFUSED if self.refused or not self.target.family.fallback else FALLS_BACK

    @property
    def accelerated_share(self) -> float:
        """The fraction of multiply–accumulates that the target accelerates; of ops when there are none."""
        sizes = [p.macs for p in self.placements]
        if not sum(sizes):
            sizes = [1] * len(sizes)
        done = sum(n for n, p in zip(sizes, self.placements, strict=True) if p.accelerated)
        return done / sum(sizes) if sum(sizes) else 1.0

    @property
    def fallbacks(self) -> list[Placement]:
        """The ops that are not accelerated."""
        return [p for p in self.placements if not p.accelerated]

    @property
    def runs(self) -> bool:
        """True unless the file is refused, or an op has nothing to run it."""
        return not self.refused and not (self.fallbacks and not self.target.family.fallback)

    @property
    def needed_bytes(self) -> int:
        """What has to fit into the target's limited memory, at least."""
        return self.weight_bytes if self.target.memory_holds == "weights" else self.activation_bytes

    @property
    def fits(self) -> bool:
        """True when no limit is known or it is kept."""
        return self.memory_limit is None or self.needed_bytes <= self.memory_limit

    @property
    def switches(self) -> int:
        """How often control goes from accelerator to fallback or back, ops in the file's order."""
        flags = [p.accelerated for p in self.placements]
        return sum(a != b for a, b in itertools.pairwise(flags))

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "target": self.target.name,
            "runs": self.runs,
            "refused": self.refused,
            "right": self.right,
            "judge": self.judge,
            "accelerated_macs": self.accelerated_share,
            "accelerated_share": self.accelerated_share,
            "pieces": self.pieces,
            "ops": len(self.placements),
            "placements": [p.as_json() | {"verdict": self.kind(p)} for p in self.placements],
            "fallbacks": [p.as_json() | {"verdict": self.kind(p)} for p in self.fallbacks],
            "wrong_outputs": list(self.wrong_outputs),
            "switches": self.switches,
            "weight_bytes": self.weight_bytes,
            "activation_bytes": self.activation_bytes,
            "memory_limit": self.memory_limit,
            "fits": self.fits,
            "notes": list(self.target.family.notes),
        }

    def summary(self) -> str:
        """Return the verdict in one sentence."""
        if self.refused:
            return f"{self.target.title} refuses the file: {self.refused}"
        kinds = Counter(p.kind for p in self.fallbacks)
        listed = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        done = format_percent(self.accelerated_share)
        share = f"{self.target.title} accelerates {done} of the multiply–accumulates"
        rest = f"; not {listed}" if listed else " and every op"
        memory = "" if self.fits else f"; {format_bytes(self.needed_bytes)} do not fit its memory"
        return f"{share}{rest}{memory}{self._wrong_words()}."

    def _wrong_words(self) -> str:
        """What is wrong with the values, with a leading semicolon; "" when nothing is."""
        kinds = Counter(p.kind for p in self.placements if p.wrong)
        listed = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        if listed:
            return f"; its values are wrong for {listed}"
        return f"; its values are wrong at {', '.join(self.wrong_outputs)}" if self.wrong_outputs else ""

"""The verdict before the compiler: which ops of a model a target accelerates, and why not the others.

``check`` only reads tables and shapes and runs nothing. ``ethos_u`` and ``micro`` run the real compiler and the
real interpreter, and tests hold the verdict against them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tightfit.graph.ir import Graph, Model, Op
from tightfit.graph.macs import macs
from tightfit.quantities import format_bytes
from tightfit.targets.memory import peak_bytes, weight_bytes
from tightfit.targets.profile import Target, find_target
from tightfit.targets.vela_patterns import dilated_patterns, needless_ops

_NOT_LISTED = "The op is one that the target takes."


@dataclass(frozen=True)
class Placement:
    """Where one op runs.

    Args:
        graph: index of its graph. index: of the op in its graph. name: its first output's.
        reason: why it falls back, in words; "" when it is accelerated. rule: the limit's sentence.
        fix: what to change.
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

    def as_json(self) -> dict[str, Any]:
        """Gives plain values."""
        return dict(vars(self))


@dataclass(frozen=True)
class Verdict:
    """What a target does with a model.

    Args:
        placements: every op, in the file's order.
        refused: why the compiler refuses the whole file, "" when it does not.
        weight_bytes: of all constants. activation_bytes: what is alive at once, at least.
    """

    target: Target
    placements: tuple[Placement, ...]
    weight_bytes: int
    activation_bytes: int
    refused: str = ""
    memory_limit: int | None = None

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
        return sum(a != b for a, b in zip(flags, flags[1:], strict=False))

    def as_json(self) -> dict[str, Any]:
        """Gives plain values."""
        return {
            "target": self.target.name,
            "runs": self.runs,
            "refused": self.refused,
            "accelerated_share": self.accelerated_share,
            "ops": len(self.placements),
            "fallbacks": [p.as_json() for p in self.fallbacks],
            "switches": self.switches,
            "weight_bytes": self.weight_bytes,
            "activation_bytes": self.activation_bytes,
            "memory_limit": self.memory_limit,
            "fits": self.fits,
            "notes": list(self.target.family.notes),
        }

    def summary(self) -> str:
        """Gives the verdict in one sentence."""
        if self.refused:
            return f"{self.target.title} refuses the file: {self.refused}"
        kinds = Counter(p.kind for p in self.fallbacks)
        listed = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        share = f"{self.target.title} accelerates {self.accelerated_share:.1%} of the multiply–accumulates"
        rest = f"; not {listed}" if listed else " and every op"
        memory = "" if self.fits else f"; {format_bytes(self.needed_bytes)} do not fit its memory"
        return f"{share}{rest}{memory}."


def check(model: Model, target: Target | str, *, memory_bytes: int | None = None) -> Verdict:
    """Gives the verdict of a target on a model.

    Args:
        memory_bytes: the device's memory, when it is not the target's.

    Raises:
        OptionError: unknown target; the closest match is named. ModelError: an op lacks an operand.
    """
    device = find_target(target) if isinstance(target, str) else target
    placements = [p for i, graph in enumerate(model.graphs) for p in _place(graph, i, device)]
    refused = next((p.reason for p in placements if p.rule.startswith(_REFUSES)), "")
    if refused:
        placements = [_refused(p) for p in placements]
    return Verdict(
        device,
        tuple(placements),
        weight_bytes(model),
        max((peak_bytes(g) for g in model.graphs), default=0),
        refused,
        device.memory_bytes if memory_bytes is None else memory_bytes,
    )


_REFUSES = "Or the whole file is refused: "


def judge(op: Op, target: Target) -> tuple[str, str, str] | None:
    """Gives (reason, rule, fix) of an op that the target does not accelerate by itself, None when it does."""
    family = target.family
    broken = _first_broken(op, target)
    if broken is not None and broken[1].startswith(_REFUSES):
        return broken
    if op.kind not in family.ops:
        return f"{op.kind} is not among the ops of {family.title}", _NOT_LISTED, _replace(op)
    return broken


def _first_broken(op: Op, target: Target) -> tuple[str, str, str] | None:
    for rule in target.family.rules:
        if not rule.holds_for(op.kind):
            continue
        wrong = rule.broken_by(op)
        if wrong is not None:
            sentence = rule.sentence if not rule.refuses else _REFUSES + rule.sentence[:1].lower() + rule.sentence[1:]
            return f"{rule.sentence.rstrip('.')}: {wrong}", sentence, rule.fix
        if op.kind not in target.family.ops and not rule.refuses:
            return None
    return None


def _replace(op: Op) -> str:
    if op.kind in ("QUANTIZE", "DEQUANTIZE"):
        return "--fix gives the model integer inputs and outputs; the application converts, or feeds integers."
    if op.kind in ("DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "GATHER", "DIV"):
        return "--fix writes it with ops that the target takes, where shapes and constants allow."
    return "Train with another op, or cut the model here and compute the rest in the application."


def _place(graph: Graph, number: int, target: Target) -> list[Placement]:
    found = {id(op): judge(op, target) for op in graph.ops}
    if target.family.tool == "vela":
        found.update({id(op): None for op in dilated_patterns(graph, lambda op: judge(op, target) is None)})
        found.update({id(op): None for op in needless_ops(graph, lambda op: found[id(op)] is None)})
    if target.family.partitions == 1:
        _cut_after_first(graph, found)
    return [_placement(op, number, i, found[id(op)]) for i, op in enumerate(graph.ops)]


def _cut_after_first(graph: Graph, found: dict[int, tuple[str, str, str] | None]) -> None:
    """With one partition, everything that depends on a fallback falls back too; float conversion at the start stays."""
    lost: set[int] = set()
    for op in graph.ops:
        sources = [t.producer for t in op.inputs if t is not None and t.producer is not None]
        behind = next((s for s in sources if id(s) in lost), None)
        starts = op.kind == "QUANTIZE" and not sources
        if found[id(op)] is not None and not starts:
            lost.add(id(op))
        elif behind is not None:
            lost.add(id(op))
            reason = f"It depends on {behind.kind} '{behind.name}', which falls back"
            rule = "The compiler places one piece of the graph: nothing after the first fallback."
            found[id(op)] = (reason, rule, "Change the first fallback, or move it to the end.")


def _placement(op: Op, graph: int, index: int, broken: tuple[str, str, str] | None) -> Placement:
    kind = op.kind if op.custom_code is None else f"CUSTOM {op.custom_code}"
    place = (graph, index, kind, op.name, macs(op))
    return Placement(*place) if broken is None else Placement(*place, False, *broken)  # noqa: FBT003 - fields in order


def _refused(placement: Placement) -> Placement:
    if not placement.accelerated:
        return placement
    values = vars(placement) | {"accelerated": False, "reason": "The file is refused because of another op."}
    return Placement(**values)

"""The verdict before the compiler: which ops of a model a target accelerates, and why not the others.

``check`` only reads tables and shapes and runs nothing. The tools of ``tools.table`` are the real compilers,
interpreters and accelerators, and tests hold the verdict against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tightfit.graph.ir import Graph, Model, Op
from tightfit.graph.ops.macs import macs
from tightfit.graph.passes.loop_turns import graph_runs
from tightfit.targets.limits.constraints import LimitRule
from tightfit.targets.needed_memory import peak_bytes, weight_bytes
from tightfit.targets.partition import count_pieces, is_unpacking, one_piece
from tightfit.targets.profile import Target, find_target
from tightfit.targets.tools.vela_patterns import dilated_patterns, needless_ops, variable_handles
from tightfit.targets.verdict import Placement, Verdict

_REWRITTEN: Final = (
    "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "GATHER", "DIV", "SQUEEZE", "EXPAND_DIMS", "BROADCAST_TO",
    "RELU_0_TO_1", "ARG_MIN",
)  # fmt: skip
"""Ops that ``fixes`` writes with others."""
_NOT_LISTED: Final = "The op is one that the target takes."
_REFUSES: Final = "Or the whole file is refused: "


@dataclass(frozen=True)
class Broken:
    """A limit that an op breaks.

    Args:
        reason: what is wrong, in words.
        rule: the limit's sentence.
        fix: what to change.
        refuses: the whole file is refused because of it.
        wrong: the op is accelerated, with wrong values.
    """

    reason: str
    rule: str = ""
    fix: str = ""
    refuses: bool = False
    wrong: bool = False


def check(model: Model, target: Target | str, *, memory_bytes: int | None = None) -> Verdict:
    """Return the verdict of a target's rules on a model.

    Args:
        model: the model to judge.
        target: the device or its name.
        memory_bytes: the device's memory, when it is not the target's.

    Raises:
        OptionError: unknown target; the closest match is named. ModelError: an op lacks an operand.
    """
    device = find_target(target) if isinstance(target, str) else target
    graphs = enumerate(zip(model.graphs, graph_runs(model), strict=True))
    placements = [p for i, (graph, runs) in graphs for p in _place(graph, i, device, runs)]
    refused = next((p.reason for p in placements if p.refuses), "")
    if refused:
        placements = [_refused(p) for p in placements]
    document = device.family.document
    return Verdict(
        device,
        tuple(placements),
        weight_bytes(model),
        max((peak_bytes(g) for g in model.graphs), default=0),
        refused,
        device.memory_bytes if memory_bytes is None else memory_bytes,
        _pieces(model, placements, device),
        f"document: {document}" if document else "rules",
    )


def judge(op: Op, target: Target) -> Broken | None:
    """Return what keeps a target from accelerating an op by itself, or makes its values wrong; else None."""
    family = target.family
    if family.needs_tool:
        return None
    broken = _first_broken(op, target)
    if broken is not None and broken.refuses:
        return broken
    if listed_name(op) not in family.ops:
        return Broken(f"{listed_name(op)} is not among the ops of {family.title}", _NOT_LISTED, _replace(op))
    return broken


def takes(op: Op, target: Target) -> bool:
    """Return True where a target accelerates an op as it is, by ``judge``."""
    return judge(op, target) is None


def listed_name(op: Op) -> str:
    """Return an op's name in the lists of ``profiles.toml``.

    Example:
        >>> custom = Op("CUSTOM", [], [])
        >>> custom.custom_code = "TFLM_DECODE"
        >>> listed_name(custom), listed_name(Op("ADD", [], []))
        ('CUSTOM:TFLM_DECODE', 'ADD')
    """
    return op.kind if op.custom_code is None else f"CUSTOM:{op.custom_code}"


def _first_broken(op: Op, target: Target) -> Broken | None:
    """The first broken rule in the table's order; rules on wrong values come after all others."""
    rules = target.family.rules
    for rule in (*(r for r in rules if not r.wrong), *(r for r in rules if r.wrong)):
        if not rule.holds_for(op.kind):
            continue
        wrong = rule.broken_by(op)
        if wrong is not None:
            return _broken(rule, wrong)
    return None


def _broken(rule: LimitRule, wrong: str) -> Broken:
    sentence = rule.sentence
    if rule.refuses:
        sentence = _REFUSES + sentence[:1].lower() + sentence[1:]
    return Broken(f"{rule.sentence.rstrip('.')}: {wrong}", sentence, rule.fix, rule.refuses, rule.wrong)


def _replace(op: Op) -> str:
    if op.kind in ("QUANTIZE", "DEQUANTIZE"):
        return (
            "--fix gives the model integer inputs and outputs; the application converts, or feeds integers."
        )
    if op.kind in _REWRITTEN:
        return "--fix writes it with ops that the target takes, where shapes and constants allow."
    return "Train with another op, or cut the model here and compute the rest in the application."


def _place(graph: Graph, number: int, target: Target, runs: int) -> list[Placement]:
    found: dict[int, Broken | None] = {id(op): judge(op, target) for op in graph.ops}
    if target.family.tool == "vela":
        found.update({id(op): None for op in dilated_patterns(graph, lambda op: judge(op, target) is None)})
        found.update({id(op): None for op in variable_handles(graph, lambda op: found[id(op)] is None)})
        found.update({id(op): None for op in needless_ops(graph, lambda op: found[id(op)] is None)})
    if target.family.pieces == "first":
        _cut_after_first(graph, found)
    if target.family.pieces == "longest":
        _keep_longest(graph, found)
    return [_placement(op, number, i, found[id(op)], runs) for i, op in enumerate(graph.ops)]


def _cut_after_first(graph: Graph, found: dict[int, Broken | None]) -> None:
    """With one partition, all that depends on a fallback falls back too, save on a QUANTIZE at the start."""
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
            found[id(op)] = Broken(reason, rule, "Change the first fallback, or move it to the end.")


def _keep_longest(graph: Graph, found: dict[int, Broken | None]) -> None:
    """Only the longest piece of the graph is accelerated, by the number of its ops."""

    def supported(op: Op) -> bool:
        broken = found[id(op)]
        return broken is None or broken.wrong

    kept = {id(op) for op in one_piece(graph, supported)[0]}
    for op in graph.ops:
        if id(op) in kept:
            continue
        if is_unpacking(op):
            found[id(op)] = Broken(
                "The CPU unpacks float16 constants where it runs a part of the graph", "", ""
            )
        elif supported(op):
            found[id(op)] = Broken(
                "It lies outside of the longest piece, the only one that is accelerated",
                "Only the longest piece of the graph is accelerated.",
                "Replace the op that cuts the graph, or move it to an end; --fix does where it knows how.",
            )


def _pieces(model: Model, placements: Sequence[Placement], target: Target) -> int:
    """How many pieces of the main graph run on the accelerator."""
    taken = {p.index for p in placements if p.graph == 0 and p.accelerated}
    if target.family.pieces != "all":
        return int(bool(taken))
    inside = {id(op) for i, op in enumerate(model.main.ops) if i in taken}
    return count_pieces(model.main.ops, lambda op: id(op) in inside)


def _placement(op: Op, graph: int, index: int, broken: Broken | None, runs: int) -> Placement:
    kind = op.kind if op.custom_code is None else f"CUSTOM {op.custom_code}"
    place = (graph, index, kind, op.name, runs * macs(op))
    if broken is None:
        return Placement(*place)
    wrong = broken.reason if broken.wrong else ""
    return Placement(
        *place,
        broken.wrong,
        broken.reason,
        broken.rule,
        broken.fix,
        broken.refuses and not broken.wrong,
        wrong,
    )


def _refused(placement: Placement) -> Placement:
    if not placement.accelerated:
        return placement
    reason = "The file is refused because of another op."
    return replace(placement, accelerated=False, reason=reason, rule="", fix="", wrong="")

"""The verdict before the compiler: which ops of a model a target accelerates, and why not the others.

``check`` only reads tables and shapes and runs nothing. ``ethos_u`` and ``micro`` run the real compiler and
the real interpreter, and tests hold the verdict against them.
"""

from __future__ import annotations

from typing import Final

from tightfit.graph.ir import Graph, Model, Op
from tightfit.graph.macs import macs
from tightfit.targets.memory import peak_bytes, weight_bytes
from tightfit.targets.profile import Target, find_target
from tightfit.targets.tools.vela_patterns import dilated_patterns, needless_ops, variable_handles
from tightfit.targets.verdict import Placement, Verdict

_NOT_LISTED: Final = "The op is one that the target takes."
_REFUSES: Final = "Or the whole file is refused: "


def check(model: Model, target: Target | str, *, memory_bytes: int | None = None) -> Verdict:
    """Gives the verdict of a target on a model.

    Args:
        memory_bytes: the device's memory, when it is not the target's.

    Raises:
        OptionError: unknown target; the closest match is named. ModelError: an op lacks an operand.
    """
    device = find_target(target) if isinstance(target, str) else target
    placements = [p for i, graph in enumerate(model.graphs) for p in _place(graph, i, device)]
    refused = next((p.reason for p in placements if p.refuses), "")
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
            sentence = (
                rule.sentence
                if not rule.refuses
                else _REFUSES + rule.sentence[:1].lower() + rule.sentence[1:]
            )
            return f"{rule.sentence.rstrip('.')}: {wrong}", sentence, rule.fix
        if op.kind not in target.family.ops and not rule.refuses:
            return None
    return None


def _replace(op: Op) -> str:
    if op.kind in ("QUANTIZE", "DEQUANTIZE"):
        return (
            "--fix gives the model integer inputs and outputs; the application converts, or feeds integers."
        )
    if op.kind in ("DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "GATHER", "DIV"):
        return "--fix writes it with ops that the target takes, where shapes and constants allow."
    return "Train with another op, or cut the model here and compute the rest in the application."


def _place(graph: Graph, number: int, target: Target) -> list[Placement]:
    found = {id(op): judge(op, target) for op in graph.ops}
    if target.family.tool == "vela":
        found.update({id(op): None for op in dilated_patterns(graph, lambda op: judge(op, target) is None)})
        found.update({id(op): None for op in variable_handles(graph, lambda op: found[id(op)] is None)})
        found.update({id(op): None for op in needless_ops(graph, lambda op: found[id(op)] is None)})
    if target.family.partitions == 1:
        _cut_after_first(graph, found)
    return [_placement(op, number, i, found[id(op)]) for i, op in enumerate(graph.ops)]


def _cut_after_first(graph: Graph, found: dict[int, tuple[str, str, str] | None]) -> None:
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
            found[id(op)] = (reason, rule, "Change the first fallback, or move it to the end.")


def _placement(op: Op, graph: int, index: int, broken: tuple[str, str, str] | None) -> Placement:
    kind = op.kind if op.custom_code is None else f"CUSTOM {op.custom_code}"
    place = (graph, index, kind, op.name, macs(op))
    if broken is None:
        return Placement(*place)
    return Placement(*place, False, *broken, refuses=broken[1].startswith(_REFUSES))


def _refused(placement: Placement) -> Placement:
    if not placement.accelerated:
        return placement
    values = vars(placement) | {"accelerated": False, "reason": "The file is refused because of another op."}
    return Placement(**values)

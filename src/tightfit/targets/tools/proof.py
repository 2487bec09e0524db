"""Holds a verdict against the tool of its target; where the tool ran, the verdict is the tool's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.graph.ir import Model
from tightfit.targets.tools.tool_result import Place, ToolResult
from tightfit.targets.tools.tool_table import TOOLS
from tightfit.targets.verdict import Placement, Verdict
from tightfit.types import Array


@dataclass(frozen=True)
class Proof:
    """The result of the target's own tool.

    Args:
        tool: its name in ``tools.table.TOOLS``, or "" when the target has none.
        result: of the tool, None when it could not run.
        problem: why it could not run: one sentence.
        differs: ops that the tool places elsewhere than the rules: (graph, index).
    """

    tool: str
    result: ToolResult | None = None
    problem: str = ""
    differs: tuple[Place, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        result = self.result
        return {
            "tool": self.tool,
            "problem": self.problem or ("" if result is None else result.refused),
            "differs": [list(d) for d in self.differs],
            "outputs": [] if result is None else [output.to_dict() for output in result.outputs],
            "ops": [] if result is None else [op.to_dict() for op in result.ops],
            "result": None if result is None or not result.details else dict(result.details),
        }

    def lines(self) -> list[str]:
        """Return the tool's result in sentences; nothing when there is no tool."""
        if self.result is None:
            return [self.problem] if self.problem else []
        said = list(self.result.sentences) or [self.result.refused]
        return [*filter(None, said), *self._differences()]

    def _differences(self) -> list[str]:
        result = self.result
        if result is None or result.accelerated is None or self.tool == "tflite-micro":
            return []
        if not self.differs:
            return [f"{result.tool} places every op as the rules say."]
        return [f"{result.tool} places {len(self.differs)} ops elsewhere than the rules: the tool is right."]


def prove(
    model: Model, verdict: Verdict, inputs: Sequence[Array] | None = None, *, in_search: bool = False
) -> Proof:
    """Return the result of the tool of the verdict's target, if it has one and it can run.

    Args:
        model: the model.
        verdict: of the rules.
        inputs: a sample in the signature's order; None for seeded noise.
        in_search: True leaves out a tool that a search learns nothing of.
    """
    name = verdict.target.family.tool
    if name not in TOOLS or (in_search and not TOOLS[name].in_search):
        return Proof("")
    tool = TOOLS[name]
    if missing := tool.available():
        return Proof(name, problem=missing)
    try:
        result = tool.run(model, verdict.target, inputs)
    except (OptionError, RuntimeFailureError) as error:
        return Proof(name, problem=str(error))
    return Proof(name, result, differs=_differs(verdict, result))


def _differs(verdict: Verdict, result: ToolResult) -> tuple[Place, ...]:
    if result.accelerated is None or verdict.refused or result.refused:
        return ()
    own = {(p.graph, p.index) for p in verdict.placements if p.accelerated}
    return tuple(sorted(own ^ result.accelerated))


def judged(verdict: Verdict, proof: Proof) -> Verdict:
    """Return the verdict as the tool gives it: its placements, refusal and wrong values."""
    result = proof.result
    if result is None:
        return verdict
    if result.refused:
        placements = tuple(_refused(p, result) for p in verdict.placements)
        return replace(verdict, placements=placements, refused=result.refused, pieces=0, judge=result.tool)
    placements = tuple(_placed(p, result) for p in verdict.placements)
    pieces = verdict.pieces if result.pieces is None else result.pieces
    wrong = result.wrong_outputs
    return replace(
        verdict, placements=placements, refused="", pieces=pieces, judge=result.tool, wrong_outputs=wrong
    )


def _refused(placement: Placement, result: ToolResult) -> Placement:
    reason = placement.reason or f"The file is refused: {result.refused}"
    return replace(placement, accelerated=False, reason=reason)


def _placed(placement: Placement, result: ToolResult) -> Placement:
    place = (placement.graph, placement.index)
    wrong = result.wrong.get(place, "" if result.right else placement.wrong)
    if result.accelerated is None:
        return replace(placement, wrong=wrong)
    if place in result.accelerated:
        return replace(placement, accelerated=True, wrong=wrong, reason=wrong)
    own = "" if placement.accelerated else placement.reason
    said = result.reasons.get(place, "")
    reason = own or said or f"{result.tool} leaves it to the fallback"
    return replace(placement, accelerated=False, reason=reason, wrong="")

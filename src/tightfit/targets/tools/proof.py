"""Holds a verdict against the tool of its target: vela for Ethos-U, tflite-micro for microcontrollers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tightfit.errors import ModelError, OptionError
from tightfit.graph.ir import Model
from tightfit.targets.tools.ethos_u import Compilation, compile_ethos_u
from tightfit.targets.tools.micro import MicroRun, run_micro
from tightfit.targets.verdict import Verdict
from tightfit.units import format_bytes, format_milliseconds


@dataclass(frozen=True)
class Proof:
    """What the target's own tool says.

    Args:
        tool: ``vela``, ``tflite-micro`` or "" when the target has none that can be run here.
        result: of the tool, None when it refused or is missing.
        problem: why there is no result: one sentence.
        differs: ops that the tool places elsewhere than the verdict: (graph, index).
    """

    tool: str
    result: Compilation | MicroRun | None = None
    problem: str = ""
    differs: tuple[tuple[int, int], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Gives plain values."""
        result = None if self.result is None else self.result.as_json()
        return {
            "tool": self.tool,
            "problem": self.problem,
            "differs": [list(d) for d in self.differs],
            "result": result,
        }

    def lines(self) -> list[str]:
        """Gives what the tool says, in sentences; nothing when there is no tool."""
        if self.problem:
            return [self.problem]
        if isinstance(self.result, Compilation):
            return [*_estimates(self.result), *self._differences()]
        if isinstance(self.result, MicroRun):
            return [_micro_line(self.result)]
        return []

    def _differences(self) -> list[str]:
        if not self.differs:
            return ["vela places every op as this verdict says."]
        return [f"vela places {len(self.differs)} ops elsewhere than this verdict: vela is right."]


def prove(model: Model, verdict: Verdict) -> Proof:
    """Runs the tool of the verdict's target, if it has one and it is installed."""
    tool = verdict.target.family.tool
    try:
        if tool == "vela":
            compiled = compile_ethos_u(model, verdict.target)
            own = {(p.graph, p.index) for p in verdict.placements if p.accelerated}
            return Proof(tool, compiled, differs=tuple(sorted(own ^ compiled.npu_ops)))
        if tool == "tflite-micro":
            return Proof(tool, run_micro(model))
    except (ModelError, OptionError) as error:
        return Proof(tool, problem=str(error))
    return Proof(tool)


def _estimates(found: Compilation) -> list[str]:
    if not found.npu_ops:
        return []
    time = f"{format_milliseconds(found.latency_ms)} ({found.cycles:,} cycles)"
    memory = f"{format_bytes(found.sram_bytes)} of SRAM, {format_bytes(found.flash_bytes)} off chip"
    return [f"vela estimates {time}, {memory} on {found.accelerator} as {found.system}."]


def _micro_line(run: MicroRun) -> str:
    if run.runs:
        own, arena = format_bytes(run.persistent_bytes), format_bytes(run.arena_bytes)
        return f"tflite-micro ran it in an arena of {arena}, {own} of it for its own structures."
    named = f" It has no kernel for {', '.join(run.missing_ops)}." if run.missing_ops else ""
    return f"tflite-micro does not run it: {run.reason}.{named}"

"""LiteRT on this computer as the judge of the target ``cpu``: which files it runs, which ops XNNPACK takes.

The profile of LiteRT lists each op that runs outside of the delegate. Its times are not read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tightfit.errors import RuntimeFailureError
from tightfit.graph.ir import Model
from tightfit.graph.signatures import input_names
from tightfit.graph.writer import serialize
from tightfit.runtime.native.op_profile import profile_ops
from tightfit.runtime.session import Session
from tightfit.scratch import scratch_folder
from tightfit.targets.profile import Target
from tightfit.targets.tools.agreement import noise_inputs
from tightfit.targets.tools.tool_result import ToolResult
from tightfit.types import Array

TOOL: Final = "LiteRT with XNNPACK"


def available() -> str:
    """Return "": LiteRT is there wherever this package is."""
    return ""


def run(model: Model, target: Target, inputs: Sequence[Array] | None = None) -> ToolResult:
    """Return whether LiteRT runs the model, and which ops XNNPACK takes.

    Args:
        model: the model.
        target: not read: the CPU is this computer's.
        inputs: a sample in the signature's order; None for seeded noise.
    """
    del target
    with scratch_folder() as folder:
        path = folder / "model.tflite"
        path.write_bytes(serialize(model))
        arrays = list(inputs) if inputs is not None else noise_inputs(model)
        if refused := _refusal(path, dict(zip(input_names(model), arrays, strict=True))):
            return ToolResult(TOOL, refused=refused, pieces=0, sentences=(refused,))
        outside = _outside(path)
    if outside is None:
        said = f"{TOOL} runs it; its profiler does not, so the rules place the ops."
        return ToolResult(TOOL, sentences=(said,))
    count = len(model.main.ops)
    inside = frozenset((0, i) for i in range(count) if i not in outside)
    said = f"{TOOL} on this computer: {len(inside)} of {count} ops run in the delegate."
    others = ((g, i) for g, graph in enumerate(model.graphs[1:], start=1) for i in range(len(graph.ops)))
    return ToolResult(TOOL, accelerated=inside | frozenset(others), sentences=(said,))


def _refusal(path: Path, sample: Mapping[str, Array]) -> str:
    """Why LiteRT does not run the file, "" when it does."""
    try:
        with Session(path) as session:
            session.run(sample)
    except RuntimeFailureError as error:
        return f"LiteRT does not run it: {error}".replace(f"'{path}'", "the file")
    return ""


def _outside(path: Path) -> set[int] | None:
    """The positions of the main graph's ops that run outside of the delegate; None without a profile."""
    try:
        return {op.node_index for op in profile_ops(path, runs=1) if not op.delegated}
    except RuntimeFailureError:
        return None

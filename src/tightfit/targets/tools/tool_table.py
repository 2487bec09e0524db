"""The tools that judge files, one row each; a new judge is a file with ``available`` and ``run``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.errors import OptionError
from tightfit.graph.ir import Model
from tightfit.targets.profile import Target
from tightfit.targets.tools import ethos_u, intel_npu, litert_cpu, litert_gpu, micro
from tightfit.targets.tools.tool_result import ToolResult
from tightfit.targets.tools.vendor_aot import VENDORS
from tightfit.types import Array


@dataclass(frozen=True)
class Tool:
    """One judge.

    Args:
        title: its name for people.
        available: gives "" when it can run here, else what is missing and the command that installs it.
        run: judges a model for a target; the arrays are a sample in the signature's order, None for seeded
            noise. Raises OptionError when it cannot run after all, RuntimeFailureError when it does not end.
        runs_samples: True where it runs the model on a sample.
        in_search: False where a search learns nothing of it, because it runs every file in the same way.
    """

    title: str
    available: Callable[[], str]
    run: Callable[[Model, Target, Sequence[Array] | None], ToolResult]
    in_search: bool = True
    runs_samples: bool = False


TOOLS: Final[dict[str, Tool]] = {
    "vela": Tool("Arm's compiler vela", ethos_u.available, ethos_u.run),
    "tflite-micro": Tool("the tflite-micro interpreter", micro.available, micro.run, runs_samples=True),
    "intel-npu": Tool("the Intel OpenVINO plugin", intel_npu.available, intel_npu.run),
    "litert-cpu": Tool(
        "LiteRT on this computer", litert_cpu.available, litert_cpu.run, in_search=False, runs_samples=True
    ),
    "litert-gpu": Tool("LiteRT's GPU accelerator", litert_gpu.available, litert_gpu.run, runs_samples=True),
    **{name: Tool(f"{v.title}'s compiler", v.available, v.run) for name, v in VENDORS.items()},
}
"""Name in ``profiles.toml`` → the judge."""


def require_tool(target: Target, *, wanted: bool = True) -> None:
    """Check that a target whose rules are not known has its judge.

    Args:
        target: the device.
        wanted: False where the user leaves the tool out.

    Raises:
        OptionError: it does not, so nothing can be said of a file.
    """
    if not target.family.needs_tool:
        return
    missing = TOOLS[target.family.tool].available()
    if missing or not wanted:
        why = missing or "It was left out by --no-compile."
        raise OptionError(f"Only {TOOLS[target.family.tool].title} knows what '{target.name}' takes. {why}")

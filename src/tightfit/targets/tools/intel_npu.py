"""The partition step of LiteRT's Intel OpenVINO plugin as the judge of the target ``intel-npu``.

The plugin says in its log how many ops it takes in how many partitions. It runs on any x86-64 machine that
has the package openvino; no NPU is needed for the step, and no value or time of one is read.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tightfit.errors import RuntimeFailureError
from tightfit.graph.ir import Model
from tightfit.graph.writer import serialize
from tightfit.runtime.native.accelerator import AcceleratorProcess
from tightfit.runtime.native.c_api import (
    COMPILER_PLUGIN_FOLDER,
    DISPATCH_FOLDER,
    RUNTIME_FOLDER,
    package_folder,
)
from tightfit.scratch import scratch_folder
from tightfit.targets.placement import judge
from tightfit.targets.profile import Target
from tightfit.targets.tools.tool_result import ToolResult
from tightfit.types import Array

TOOL: Final = "Intel OpenVINO plugin"
MISSING: Final = (
    "Intel's OpenVINO is not installed; received no package 'openvino'. "
    "Install it with: pip install openvino==2026.3.1."
)
_VARIABLES: Final = "Variable tensors not yet supported"
_SELECTED: Final = re.compile(r"selected (\d+) ops, from a total of (\d+) ops\. resulted in (\d+) partitions")


def available() -> str:
    """Return "" when the plugin can run here, else the command that installs what it needs."""
    return "" if importlib.util.find_spec("openvino") is not None else MISSING


def run(model: Model, target: Target, inputs: Sequence[Array] | None = None) -> ToolResult:
    """Return which ops the plugin takes; its log counts them, so kinds of ops come from the rules.

    Raises:
        RuntimeFailureError: the plugin takes another number of ops than the rules.
    """
    del inputs
    log = _log(model)
    if _VARIABLES in log:
        return ToolResult(TOOL, refused="LiteRT's CompiledModel loads no variable tensors", pieces=0)
    found = _SELECTED.search(log)
    count, total, pieces = (int(n) for n in found.groups()) if found else (0, len(model.main.ops), 0)
    accelerated = frozenset((0, i) for i, op in enumerate(model.main.ops) if judge(op, target) is None)
    said = f"{TOOL}: it takes {count} of {total} ops in {pieces} pieces."
    if len(accelerated) != count:
        raise RuntimeFailureError(
            f"{said} The rules take {len(accelerated)}: they do not hold for this file."
        )
    return ToolResult(
        TOOL, accelerated=accelerated, pieces=pieces, sentences=(said,), details={"npu_ops": count}
    )


def _log(model: Model) -> str:
    """What the plugin logs while LiteRT compiles a model for the NPU with the CPU as fallback."""
    folder = package_folder() / "vendors" / "intel_openvino"
    folders = {
        RUNTIME_FOLDER: str(package_folder()),
        COMPILER_PLUGIN_FOLDER: str(folder / "compiler"),
        DISPATCH_FOLDER: str(folder / "dispatch"),
    }
    with scratch_folder() as name:
        path = Path(name) / "model.tflite"
        path.write_bytes(serialize(model))
        with AcceleratorProcess({"LD_LIBRARY_PATH": _libraries()}, folders) as process:
            try:
                process.compile(path, ("npu", "cpu"))
            except RuntimeFailureError:  # what comes after the partition step may need an NPU
                return process.log()
            return process.log()


def _libraries() -> str:
    spec = importlib.util.find_spec("openvino")
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    return ":".join(str(Path(place) / "libs") for place in places)

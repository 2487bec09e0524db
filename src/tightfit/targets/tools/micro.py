"""Runs a model in tflite-micro, in a process of its own, and reads the arena that it needs.

The pip package holds the reference kernels of the C++ library for x86; a microcontroller's optimized kernels
(CMSIS-NN, …) take the same ops but may need more scratch memory.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.graph.ir import Model
from tightfit.graph.writer import serialize
from tightfit.runtime.child import process
from tightfit.runtime.child.memory import memory_limit
from tightfit.runtime.child.sandbox import is_wanted
from tightfit.scratch import scratch_folder
from tightfit.targets.profile import Target
from tightfit.targets.tools.tool_result import ToolResult
from tightfit.types import Array
from tightfit.units import format_bytes

TOOL: Final = "tflite-micro"
MISSING: Final = (
    "The microcontroller interpreter is not installed; received no package 'tflite_micro'. "
    "Install it with: pip install 'tightfit[micro]'."
)
_ARENAS: Final = (1 << 22, 1 << 25, 1 << 28)
_TIMEOUT_S: Final = 600


@dataclass(frozen=True)
class MicroRun:
    """What tflite-micro did with a model.

    Args:
        runs: tensors were allocated and one call succeeded.
        arena_bytes: of the arena in all, 0 when it does not run.
        persistent_bytes: the part that holds the interpreter's own structures.
        missing_ops: ops without a kernel in the package.
        reason: what the interpreter said when it does not run.
        outputs: of each sample, in the graph's order.
    """

    runs: bool
    arena_bytes: int = 0
    persistent_bytes: int = 0
    missing_ops: tuple[str, ...] = ()
    reason: str = ""
    outputs: tuple[tuple[Array, ...], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values, without the outputs."""
        return {name: value for name, value in vars(self).items() if name != "outputs"}


def available() -> str:
    """Return "" when the interpreter can run here, else the command that installs it."""
    return "" if importlib.util.find_spec("tflite_micro") is not None else MISSING


def run(model: Model, target: Target, inputs: Sequence[Array] | None = None) -> ToolResult:
    """Return whether the interpreter runs the model once, and the arena that it takes; zeros are the input.

    Raises:
        OptionError: tflite-micro is not installed. RuntimeFailureError: it does not end.
    """
    del target, inputs
    found = run_micro(model)
    if found.runs:
        own, arena = format_bytes(found.persistent_bytes), format_bytes(found.arena_bytes)
        said = f"tflite-micro ran it in an arena of {arena}, {own} of it for its own structures."
        places = ((g, i) for g, graph in enumerate(model.graphs) for i in range(len(graph.ops)))
        return ToolResult(
            TOOL,
            accelerated=frozenset(places),
            memory_bytes=found.arena_bytes,
            sentences=(said,),
            details=found.as_json(),
        )
    named = f" It has no kernel for {', '.join(found.missing_ops)}." if found.missing_ops else ""
    reason = f"tflite-micro does not run it: {found.reason}.{named}"
    return ToolResult(TOOL, refused=reason, sentences=(reason,), details=found.as_json())


def run_micro(model: Model, samples: Sequence[Sequence[Array]] = (), arenas: Sequence[int] = ()) -> MicroRun:
    """Return what tflite-micro does with a model.

    Args:
        model: the model.
        samples: inputs in the graph's order; none for one call on whatever memory holds.
        arenas: sizes in bytes to try one after the other; by default 4 MiB, 32 MiB and 256 MiB.

    Raises:
        OptionError: tflite-micro is not installed. RuntimeFailureError: it does not end.
    """
    return run_bytes(serialize(model), len(model.main.outputs), samples, arenas)


def run_bytes(
    file: bytes, outputs: int, samples: Sequence[Sequence[Array]] = (), arenas: Sequence[int] = ()
) -> MicroRun:
    """Return what tflite-micro does with the bytes of a ``.tflite`` that has so many outputs.

    See ``run_micro`` for the arguments and errors.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        raise OptionError(MISSING)
    with scratch_folder() as folder:
        (folder / "model.tflite").write_bytes(file)
        if samples:
            named = {f"{s}.{i}": a for s, sample in enumerate(samples) for i, a in enumerate(sample)}
            np.savez(folder / "inputs.npz", allow_pickle=False, **named)
        result = MicroRun(runs=False)
        for arena in arenas or _ARENAS:
            result = _attempt(folder, arena, len(samples), outputs)
            if result.runs or not _too_small(result.reason):
                break
        return result


def _attempt(folder: Path, arena: int, samples: int, outputs: int) -> MicroRun:
    confinement = process.Confinement(
        memory_limit(),
        sandbox=is_wanted(),
        writable=(str(folder),),
        dies_with_parent=process.from_main_thread(),
    )
    arguments = [str(folder), *map(str, (arena, samples, outputs))]
    command = process.command("tightfit.targets.tools.micro_worker", arguments, confinement)
    try:
        code, said = process.run_tool(command, _TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailureError(f"tflite-micro did not finish one call within {_TIMEOUT_S} s.") from error
    if code == 0 and "tightfit: ran" in said:
        answers = _answers(folder, samples, outputs)
        return MicroRun(True, _number(said, "total"), _number(said, "tail"), outputs=answers)
    missing = sorted(set(re.findall(r"Didn't find op for builtin opcode '(\w+)'", said)))
    return MicroRun(runs=False, missing_ops=tuple(missing), reason=_reason(said, code))


def _answers(folder: Path, samples: int, outputs: int) -> tuple[tuple[Array, ...], ...]:
    if not samples:
        return ()
    with np.load(folder / "outputs.npz", allow_pickle=False) as stored:
        return tuple(tuple(stored[f"{s}.{i}"] for i in range(outputs)) for s in range(samples))


def _number(said: str, part: str) -> int:
    found = re.findall(rf"Arena allocation {part} (\d+) bytes", said)
    return int(found[-1]) if found else 0


def _too_small(reason: str) -> bool:
    return "Failed to resize buffer" in reason or "Failed to allocate" in reason


def _reason(said: str, code: int) -> str:
    """The interpreter's own words, without Python's traceback."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    own = [
        x
        for x in lines
        if not re.match(r"(Traceback|File |\^|INFO|\[Recording|raise |RuntimeError|self\.|return)", x)
    ]
    words = ". ".join(line.rstrip(".") for line in own[:3])
    return words or f"tflite-micro {process.describe_exit(code)}"

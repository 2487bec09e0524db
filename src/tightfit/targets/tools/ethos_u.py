"""Runs Arm's vela compiler in a process of its own and reads what it placed and what it estimates.

vela simulates nothing cycle by cycle: its cycles, times and memory are the compiler's *estimates*.
"""

from __future__ import annotations

import csv
import importlib.util
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tightfit.errors import ModelError, OptionError, RuntimeFailureError
from tightfit.graph.ir import Model, Op
from tightfit.graph.reader import read_ops
from tightfit.graph.writer import serialize
from tightfit.runtime.child import process
from tightfit.runtime.child.memory import memory_limit
from tightfit.runtime.child.sandbox import is_wanted
from tightfit.scratch import scratch_folder
from tightfit.targets.profile import Target
from tightfit.targets.tools.tool_result import ToolResult
from tightfit.types import Array
from tightfit.units import format_bytes, format_milliseconds

MISSING: Final = (
    "The Ethos-U compiler vela is not installed; received no command 'vela'. "
    "Install it with: pip install 'tightfit[ethos-u]'."
)
_MODULE: Final = "-m ethosu.vela"
_TIMEOUT_S: Final = 600
_KIB: Final = 1024


@dataclass(frozen=True)
class Compilation:
    """What vela made of a model; numbers are its estimates.

    Args:
        npu_ops: (graph, index) of the ops that run on the NPU.
        cpu_reasons: (graph, index) → vela's reason, for the others; "" where it gave none.
        cycles: of one inference.
        latency_ms: the same as time at the clock of ``system``.
        sram_bytes: peak.
        flash_bytes: weights and command stream off chip (flash or DRAM).
        system: vela's system configuration, which sets clock and memories.
    """

    accelerator: str
    npu_ops: frozenset[tuple[int, int]]
    cpu_reasons: dict[tuple[int, int], str]
    cycles: int = 0
    latency_ms: float = 0.0
    sram_bytes: int = 0
    flash_bytes: int = 0
    system: str = ""
    version: str = ""
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return plain values, under names that say they are estimates."""
        plain = asdict(self)
        keys = ("cycles", "latency_ms", "sram_bytes", "flash_bytes")
        return {
            "estimates": {k: plain[k] for k in keys},
            "accelerator": self.accelerator,
            "system": self.system,
            "version": self.version,
            "npu_ops": len(self.npu_ops),
            "cpu_ops": len(self.cpu_reasons),
        }


def vela_command() -> list[str] | None:
    """Return what starts vela, ``-m MODULE`` or the path of a program, None when it is not installed."""
    if importlib.util.find_spec("ethosu") is not None:
        return [_MODULE]
    found = shutil.which("vela")
    return None if found is None else [found]


def available() -> str:
    """Return "" when vela can run here, else the command that installs it."""
    return "" if vela_command() is not None else MISSING


def run(model: Model, target: Target, inputs: Sequence[Array] | None = None) -> ToolResult:
    """Return what vela places on the NPU; it compiles and runs nothing, so no sample is read.

    Raises:
        OptionError: vela is not installed. RuntimeFailureError: it does not end.
    """
    del inputs
    try:
        found = compile_ethos_u(model, target)
    except ModelError as error:
        return ToolResult("vela", refused=str(error))
    return ToolResult(
        f"vela {found.version}".strip(),
        accelerated=found.npu_ops,
        reasons=found.cpu_reasons,
        latency_ms=found.latency_ms,
        sentences=tuple(_estimates(found)),
        details=found.as_json(),
    )


def _estimates(found: Compilation) -> list[str]:
    if not found.npu_ops:
        return []
    time = f"{format_milliseconds(found.latency_ms)} ({found.cycles:,} cycles)"
    memory = f"{format_bytes(found.sram_bytes)} of SRAM, {format_bytes(found.flash_bytes)} off chip"
    return [f"vela estimates {time}, {memory} on {found.accelerator} as {found.system}."]


def compile_ethos_u(model: Model, target: Target, output: Path | None = None) -> Compilation:
    """Compiles a model for an Ethos-U with vela.

    Args:
        model: the integer model.
        target: one whose family's tool is vela.
        output: where to write the compiled file, or None.

    Raises:
        OptionError: vela is not installed, or the target is none of its accelerators.
        ModelError: vela refuses the model. RuntimeFailureError: it does not end.
    """
    command = vela_command()
    if command is None:
        raise OptionError(MISSING)
    if target.family.tool != "vela":
        raise OptionError(f"vela compiles for Ethos-U; received the target '{target.name}'.")
    with scratch_folder() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(serialize(model))
        said = _run(
            [*command, "model.tflite", "--accelerator-config", target.name, "--output-dir", "out"], folder
        )
        compiled = folder / "out" / "model_vela.tflite"
        if not compiled.exists():
            raise ModelError(f"vela compiled nothing for {target.name}: {_last_line(said)}")
        left = read_ops(compiled)
        if output is not None:
            output.write_bytes(compiled.read_bytes())
        return _read(model, left, said, folder / "out", target.name)


def _run(command: list[str], folder: Path) -> str:
    if command[0] == _MODULE:
        confinement = process.Confinement(
            memory_limit(),
            sandbox=is_wanted(),
            writable=(str(folder),),
            dies_with_parent=process.from_main_thread(),
        )
        command = process.command(_MODULE, command[1:], confinement)
    try:
        code, said = process.run_tool(command, _TIMEOUT_S, folder)
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailureError(
            f"vela did not finish within {_TIMEOUT_S} s; compile a smaller model."
        ) from error
    if code < 0:
        how = process.describe_exit(code)
        raise ModelError(f"vela {how} on the model; see what 'tightfit check' says of it.")
    if code != 0:
        raise ModelError(f"vela refuses the model: {_error_line(said)}")
    return said


def _read(model: Model, left: list[list[Op]], said: str, folder: Path, accelerator: str) -> Compilation:
    reasons = _stated_reasons(said)
    npu, cpu = set(), {}
    for g, graph in enumerate(model.graphs):
        others = left[g] if g < len(left) else []
        remaining = Counter((op.kind, _place(op)) for op in others)
        for i, op in enumerate(graph.ops):
            # vela renames a bool output that it converts.
            key = next((k for n in (_place(op), f"{_place(op)}_int8") if remaining[k := (op.kind, n)]), None)
            if key is not None:
                remaining[key] -= 1
                cpu[g, i] = reasons.get((op.kind, op.name), "")
            else:
                npu.add((g, i))
    return Compilation(
        accelerator, frozenset(npu), cpu, version=_version(said), **_numbers(folder, bool(npu))
    )


def _place(op: Op) -> str:
    """What identifies an op among its kind: its output's name, or its inputs' where it writes none."""
    return op.name if op.outputs else "; ".join(t.name for t in op.inputs if t is not None)


def _numbers(folder: Path, any_npu: bool) -> dict[str, Any]:
    """The summary's numbers: times in seconds and memory in KiB become ms and bytes."""
    found = sorted(folder.glob("*_summary_*.csv"))
    if not found or not any_npu:
        return {}
    with found[0].open(newline="") as stream:
        row = next(csv.DictReader(stream))
    off_chip = sum(float(row[f"{m}_memory_used"]) for m in ("dram", "on_chip_flash", "off_chip_flash"))
    return {
        "cycles": int(float(row["cycles_total"])),
        "latency_ms": 1000 * float(row["inference_time"]),
        "sram_bytes": round(_KIB * float(row["sram_memory_used"])),
        "flash_bytes": round(_KIB * off_chip),
        "system": row["system_config"],
    }


def _stated_reasons(said: str) -> dict[tuple[str, str], str]:
    """(op, output) → the sentences that vela gave."""
    pattern = re.compile(
        r"Warning \(supported operators\) operator: (\S+), ofm: '(.*)'\n+(?:Reason: (.*)\n)?([^\n]*)"
    )
    found = {}
    for kind, name, reason, rule in pattern.findall(said):
        found[kind, name] = ". ".join(part.strip().rstrip(".") for part in (reason, rule) if part.strip())
    return found


def _version(said: str) -> str:
    match = re.search(r"[Vv]ela (\d+\.\d+\S*)", said)
    return match[1] if match else ""


def _error_line(said: str) -> str:
    match = re.search(r"Error: (.*?)(?:\nFailed|\n\n|\Z)", said, re.DOTALL)
    return " ".join(match[1].split()) if match else _last_line(said)


def _last_line(said: str) -> str:
    return process.last_line(said) or "it printed nothing"

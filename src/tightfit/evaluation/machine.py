"""The machine that a number was measured on: without it, a latency says nothing."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

_FLAGS = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16",
    "amx_int8", "neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",
)  # fmt: skip


@functools.cache
def machine() -> dict[str, Any]:
    """Return what a measurement depends on: processor, cores, instruction sets that kernels use, versions.

    Keys: ``cpu``, ``cores`` (that this process may use), ``arch``, ``flags``, ``memory_bytes``, ``os``,
    ``python``, ``litert``. A fact that cannot be found is None.
    """
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("features") or "").split())
    return {
        "cpu": info.get("model name") or _apple("machdep.cpu.brand_string") or platform.processor() or None,
        "cores": _cores(),
        "arch": platform.machine(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "memory_bytes": _meminfo().get("MemTotal") or _number(_apple("hw.memsize")),
        "os": platform.platform(),
        "python": platform.python_version(),
        "litert": _version("ai-edge-litert"),
    }


def available_memory_bytes() -> float:
    """Return the memory that new processes may take without swapping, or infinity when it is not known."""
    return _meminfo().get("MemAvailable") or float("inf")


def _cores() -> int:
    with contextlib.suppress(AttributeError):  # only Linux has the affinity
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpuinfo() -> dict[str, str]:
    """The first processor's lines of ``/proc/cpuinfo``, keys in lower case; empty elsewhere."""
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
        pairs = (line.partition(":") for line in first.splitlines())
        return {key.strip().lower(): value.strip() for key, _, value in pairs}
    return {}


def _meminfo() -> dict[str, int]:
    """The sizes of ``/proc/meminfo`` in bytes; empty elsewhere."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = (line.replace(":", " ").split() for line in lines)
        return {field[0]: int(field[1]) * 1024 for field in fields if field[-1] == "kB"}
    return {}


def _apple(key: str) -> str | None:
    """What macOS says of itself under a key of ``sysctl``, or None elsewhere."""
    if platform.system() != "Darwin":
        return None
    done = subprocess.run(["/usr/sbin/sysctl", "-n", key], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None

"""Says on which machine a benchmark ran, and how busy it was when it started."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe_machine() -> str:
    """Gives processor, cores, load of the last minute, system and Python in one line."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    python = f"Python {platform.python_version()}"
    return f"{_processor()}, {os.cpu_count()} cores{load}, {platform.system()}, {python}"


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

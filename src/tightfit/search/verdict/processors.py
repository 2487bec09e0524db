"""What a reader should know of a file that was measured on one kind of processor and runs on another."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tightfit.data.sample import Sample
from tightfit.graph.reader import read_model
from tightfit.provenance.tolerance import processor_tolerance
from tightfit.runtime.emulator import is_available
from tightfit.targets.places.place import find_place
from tightfit.targets.places.place_difference import place_difference

COMPARED: Final = 4
"""Samples that run on the emulated core."""
_ARM: Final = ("aarch64", "arm64")


def processor_notes(path: Path, samples: Iterable[Sample], machine: str | None = None) -> list[str]:
    """Return a sentence where a file's outputs depend on the processor; nothing where they do not.

    Args:
        path: the chosen file.
        samples: a few that fit it; they run on an emulated ARM core where an emulator is found.
        machine: the kind of this computer, as ``platform.machine`` names it; None for that.
    """
    depends = processor_tolerance(read_model(path))
    if not depends.steps:
        return []
    here = machine or platform.machine()
    if here.lower() in _ARM:
        return [f"Measured on ARM ({here}); on x86 some values differ: {depends.reason}."]
    if is_available():
        found = place_difference(path, find_place("arm"), samples)
        return [f"Measured on {here}; {depends.reason}. {found.sentence()}"]
    return [
        f"Measured on {here}; on ARM some values differ, as {depends.reason}. See how many: "
        "tightfit evaluate best.tflite --on arm (emulated), or --on ssh://user@host."
    ]

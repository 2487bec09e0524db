"""LiteRT for 64-bit ARM under user-mode emulation: a Python that runs a session as a core of a phone does.

The kernels and the integers are those of the core; the times are not, so nothing is timed here. XNNPACK
chooses its kernels by the core's features and by ``/proc/cpuinfo``, which each core gets of its own.

Source: docs/target.md sets the folder up; QEMU's user-mode documentation (``-L``, ``-cpu``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tightfit.errors import OptionError
from tightfit.runtime.child.process import Interpreter
from tightfit.scratch import kept_folder

VARIABLE: Final = "TIGHTFIT_ARM"
MISSING: Final = (
    "No emulator of ARM was found. Set one up with 'bash bench/arm_emulator.sh FOLDER' of the repository and "
    f"name the folder in {VARIABLE}, or run on a device: --on ssh://user@host."
)
_FOLDER: Final = Path(".local") / "share" / "tightfit" / "arm"


@dataclass(frozen=True)
class Core:
    """A core that the emulator knows.

    Args:
        model: for ``-cpu``.
        part: part number in ``/proc/cpuinfo``.
        features: what decides the kernels, for people.
    """

    model: str
    part: int
    features: str


CORES: Final[dict[str, Core]] = {
    "cortex-a53": Core("cortex-a53", 0xD03, "no dot products"),
    "cortex-a72": Core("cortex-a72", 0xD08, "no dot products"),
    "cortex-a76": Core("cortex-a76", 0xD0B, "dot products, float16"),
    "neoverse-n1": Core("neoverse-n1", 0xD0C, "dot products, float16"),
    "i8mm": Core("max,sve=off,sme=off", 0xD4F, "int8 matrix products, bfloat16"),
}
"""Name → core. With SME, old emulators compute wrong integers, so it is off."""
DEFAULT_CORE: Final = "cortex-a76"


@dataclass(frozen=True)
class Emulator:
    """An emulator with its files.

    Args:
        folder: as ``bench/arm_emulator.sh`` makes it: ``qemu``, ``root`` and ``site``.
        core: a key of ``CORES``.
    """

    folder: Path
    core: str = DEFAULT_CORE

    def interpreter(self) -> Interpreter:
        """Return the ARM Python as a command, and where it finds modules."""
        root = _root(self.folder, self.core)
        binary, python = _binary(self.folder), _python(self.folder)
        assert binary is not None  # noqa: S101 - ``find_emulator`` saw both
        assert python is not None  # noqa: S101 - see above
        inside = str(root / python.relative_to(self.folder / "root"))
        words = (str(binary), "-L", str(root), "-cpu", CORES[self.core].model, inside)
        return Interpreter(words, (_package(), str(self.folder / "site")))

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.core}, emulated"


def find_emulator(core: str = DEFAULT_CORE, environment: Mapping[str, str] | None = None) -> Emulator:
    """Return the emulator that the user's variable names, else the one in the user's own folder.

    Args:
        core: a key of ``CORES``.
        environment: variables; None for those of this process.

    Raises:
        OptionError: there is no such core, or no emulator.
    """
    if core not in CORES:
        raise OptionError(f"Received '{core}' as the ARM core; expected one of {', '.join(CORES)}.")
    given = os.environ if environment is None else environment
    named = given.get(VARIABLE)
    folder = Path(named) if named else Path(given.get("HOME", "/")) / _FOLDER
    folder = folder.absolute()
    if _binary(folder) is None or _python(folder) is None or not (folder / "site").is_dir():
        raise OptionError(MISSING if not named else f"'{folder}' is no folder of an emulator. {MISSING}")
    return Emulator(folder, core)


def emulator_of(place: str) -> Emulator:
    """Return the emulator of ``arm`` or ``arm:CORE``.

    Raises:
        OptionError: it is another place, there is no such core, or no emulator.
    """
    name, colon, core = place.partition(":")
    if name != "arm":
        raise OptionError(f"Received '{place}'; expected arm or arm:CORE with one of {', '.join(CORES)}.")
    return find_emulator(core if colon else DEFAULT_CORE)


def is_available(environment: Mapping[str, str] | None = None) -> bool:
    """Return True when an emulator is found."""
    try:
        find_emulator(environment=environment)
    except OptionError:
        return False
    return True


def _binary(folder: Path) -> Path | None:
    return next((p for p in sorted((folder / "qemu").glob("usr/bin/qemu-aarch64*")) if p.is_file()), None)


def _python(folder: Path) -> Path | None:
    places = sorted((folder / "root" / "usr" / "bin").glob("python3.[0-9]*"))
    return next((p for p in places if p.is_file() and p.name[8:].isdigit()), None)


@cache
def _root(folder: Path, core: str) -> Path:
    """The files that a program of the core sees as ``/``: the common ones, and its own ``/proc/cpuinfo``."""
    root = kept_folder()
    for entry in (folder / "root").iterdir():
        if entry.name != "proc":
            (root / entry.name).symlink_to(entry.resolve(), target_is_directory=entry.is_dir())
    (root / "proc").mkdir()
    (root / "proc" / "cpuinfo").write_text("".join(_cpuinfo(i, CORES[core].part) for i in range(2)))
    return root


def _cpuinfo(number: int, part: int) -> str:
    return (
        f"processor\t: {number}\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x0\nCPU part\t: {part:#x}\nCPU revision\t: 0\n\n"
    )


@cache
def _package() -> str:
    """A folder with this package only: its own folder may hold libraries of another processor."""
    folder = kept_folder()
    (folder / "tightfit").symlink_to(Path(__file__).resolve().parents[1], target_is_directory=True)
    return str(folder)

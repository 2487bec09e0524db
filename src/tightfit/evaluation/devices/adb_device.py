"""A phone that Android's adb reaches, without Python on it: a small C program runs the file.

``TIGHTFIT_ANDROID`` names a folder with what is copied beside the file: ``device_runner``, compiled with the
NDK from ``deployment/templates/device_runner.c``, and ``libLiteRt.so`` of the device's processor, for the GPU
also LiteRT's accelerator library. docs/target.md has the commands.

Source: adb's ``shell -T`` (shell protocol 2: stdin, stdout and exit code without a terminal), ``push``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tightfit.errors import OptionError
from tightfit.evaluation.devices.device_session import DeviceSession
from tightfit.evaluation.devices.transport import require, send
from tightfit.scratch import scratch_folder

VARIABLE: Final = "TIGHTFIT_ANDROID"
RUNNER: Final = "device_runner"
_LIBRARY: Final = "libLiteRt.so"
_ADDRESS: Final = re.compile(r"adb://(?P<serial>\w[\w.:-]*)?(?P<gpu>/gpu)?/?")
_CPU, _GPU = 1, 2


@dataclass(frozen=True)
class AdbDevice:
    """A phone.

    Args:
        serial: as ``adb devices`` lists it; None for the only one.
        gpu: True runs on its GPU, with the CPU for what that leaves.
    """

    serial: str | None = None
    gpu: bool = False

    @classmethod
    def parse(cls, url: str) -> AdbDevice:
        """Return the phone of ``adb://``, ``adb://SERIAL`` or ``adb://SERIAL/gpu``.

        Raises:
            OptionError: it is no such address.

        Example:
            >>> AdbDevice.parse("adb://emulator-5554/gpu")
            AdbDevice(serial='emulator-5554', gpu=True)
        """
        found = _ADDRESS.fullmatch(url)
        if found is None:
            raise OptionError(f"Received '{url}' as the phone; expected adb://SERIAL or adb://SERIAL/gpu.")
        return cls(found["serial"], found["gpu"] is not None)

    @property
    def url(self) -> str:
        """The address, as results are labelled."""
        return f"adb://{self.serial or ''}" + ("/gpu" if self.gpu else "")

    @property
    def programs(self) -> tuple[str, ...]:
        """The program of Android's platform tools that is used."""
        return ("adb",)

    @property
    def temporary(self) -> str:
        """The shell command that makes a folder on the phone; programs run from there."""
        return "mktemp -d -p /data/local/tmp tightfit.XXXXXXXX"

    @property
    def hint(self) -> str:
        """What to check when it cannot be reached."""
        tools = "Install Android's platform tools, allow USB debugging"
        return f"{tools}, and see that 'adb devices' lists the phone."

    def words(self, command: str) -> list[str]:
        """Return the local command that runs a shell command on the phone."""
        return [*self._adb(), "shell", "-T", command]

    def copy(self, files: Sequence[Path], folder: str) -> list[str]:
        """Return the local command that copies files to the phone."""
        return [*self._adb(), "push", *map(str, files), f"{folder}/"]

    def _adb(self) -> list[str]:
        return ["adb", "-s", self.serial] if self.serial else ["adb"]


def runner_files() -> list[Path]:
    """Return the files that run a model on a phone.

    Raises:
        OptionError: the folder is not named, or lacks one.
    """
    folder = Path(os.environ.get(VARIABLE, ""))
    lacking = [n for n in (RUNNER, _LIBRARY) if not (folder / n).is_file()]
    if not os.environ.get(VARIABLE) or lacking:
        raise OptionError(
            f"A phone runs files with '{RUNNER}' and '{_LIBRARY}'; received no folder with both in "
            f"{VARIABLE}. docs/target.md says how to compile the one and where the other is."
        )
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in ("", ".so"))


def open_on_phone(device: AdbDevice, path: Path) -> DeviceSession:
    """Return a session with a file on a phone.

    Raises:
        OptionError: adb or what runs files is missing here.
        RuntimeFailureError: the phone cannot be reached, or its LiteRT refuses the file.
    """
    require(device)
    files = runner_files()

    def start(folder: str) -> str:
        with scratch_folder() as local:
            (local / "0.tflite").symlink_to(path.resolve())
            send(device, [*files, local / "0.tflite"], folder)
        bits = _CPU | _GPU if device.gpu else _CPU
        return f"cd {folder} && chmod 755 {RUNNER} && LD_LIBRARY_PATH=. exec ./{RUNNER} 0.tflite {bits}"

    return DeviceSession(device, path, start)

"""Latency and outputs on another Linux machine over plain ssh and scp, by the same code as here.

The few modules that measure are sent along as source, so the device needs nothing but Python 3.11 or newer
and ai-edge-litert. Everything goes into one temporary folder there, which is removed again.
"""

from __future__ import annotations

import ast
import io
import json
import re
import shlex
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.evaluation.devices.device_session import DeviceSession
from tightfit.evaluation.devices.transport import (
    CONNECT_S,
    SPARE_S,
    ask,
    attempt,
    device_folder,
    last,
    require,
    send,
    unreachable,
)
from tightfit.evaluation.latency import Latency
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names, main_signature, output_names
from tightfit.scratch import scratch_folder

PROGRAMS: Final = (
    "evaluation/devices/ssh_worker.py", "evaluation/devices/stream_worker.py", "runtime/worker.py",
    "runtime/child/confinement.py", "runtime/child/forking.py",
)  # fmt: skip
"""Modules that run on the device as programs; what they import is sent along."""

_LOOK: Final = "import sys, numpy, ai_edge_litert.interpreter; print('found', *sys.version_info[:2])"


@dataclass(frozen=True)
class Device:
    """A machine that ssh reaches without asking anything.

    Args:
        host: name or address.
        user: None for the one that ssh's configuration names.
        port: None likewise.
        config: file for ``ssh -F``, or None for the user's own.
        python: its command on the device.
    """

    host: str
    user: str | None = None
    port: int | None = None
    config: Path | None = None
    python: str = "python3"

    @classmethod
    def parse(cls, url: str, *, config: Path | None = None, python: str = "python3") -> Device:
        """Return the device of ``ssh://user@host:port``; user and port may be left out.

        Raises:
            OptionError: it is no such address.

        Example:
            >>> Device.parse("ssh://pi@raspberrypi.local:2222").port
            2222
        """
        expected = f"Received '{url}' as the device; expected ssh://user@host or ssh://user@host:port."
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise OptionError(expected) from error
        odd = parts.scheme != "ssh" or parts.path.strip("/") or parts.query or parts.password
        name = parts.hostname or ""
        if odd or not re.fullmatch(r"[\w.:%-]+", name) or name.startswith("-"):
            raise OptionError(expected)
        if parts.username is not None and not re.fullmatch(r"\w[\w.-]*", parts.username):
            raise OptionError(expected)
        return cls(name, parts.username, port, config, python)

    @property
    def url(self) -> str:
        """The address, as results are labelled."""
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{self.host}" + (f":{self.port}" if self.port else "")

    @property
    def login(self) -> str:
        """What ssh takes: ``user@host``."""
        return f"{self.user}@{self.host}" if self.user else self.host

    def options(self) -> list[str]:
        """What ssh and scp both take; they never ask, so an unknown host or a missing key is an error."""
        found = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}"]
        found += ["-o", f"Port={self.port}"] if self.port else []
        return found + (["-F", str(self.config)] if self.config else [])

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs of OpenSSH that are used."""
        return ("ssh", "scp")

    @property
    def temporary(self) -> str:
        """The shell command that makes a folder there and prints its path."""
        return "mktemp -d -t tightfit.XXXXXXXX"

    @property
    def hint(self) -> str:
        """What to check when it cannot be reached."""
        return (
            "Check that an OpenSSH client is installed, the address and the port, and that "
            f"'ssh {self.login}' logs in by a key, without a question."
        )

    def words(self, command: str) -> list[str]:
        """Return the local command that runs a shell command there."""
        return ["ssh", *self.options(), "--", self.login, command]

    def copy(self, files: Sequence[Path], folder: str) -> list[str]:
        """Return the local command that copies files into a folder there."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        login = f"{self.user}@{host}" if self.user else host
        return ["scp", *self.options(), "-q", *map(str, files), f"{login}:{folder}/"]


def latency_on(
    device: Device, models: Sequence[Path], *, threads: int = 1, rounds: int = 50, seconds: float = 30.0
) -> tuple[dict[str, Any], list[Latency]]:
    """Return the device's description and the latency of each model there; ratios are to the first.

    Raises:
        OptionError: ssh is missing here, or Python or ai-edge-litert there.
        RuntimeFailureError: the device cannot be reached, or measuring failed there.
    """
    require(device)
    _refuse_unfit(device)
    with device_folder(device) as folder:
        names = _send(device, models, folder)
        asked = {"models": names, "threads": threads, "rounds": rounds, "seconds": seconds}
        command = _module(device, folder, _WORKER) + shlex.quote(json.dumps(asked))
        return _read(device, ask(device, command, seconds + SPARE_S))


def open_on(device: Device, path: Path) -> DeviceSession:
    """Return a session with a file on a device.

    Raises:
        OptionError: ssh is missing here, or Python or ai-edge-litert there.
        RuntimeFailureError: the device cannot be reached, or its LiteRT refuses the file.
    """
    require(device)
    _refuse_unfit(device)
    model = read_model(path)
    called = main_signature(model)
    names = {"inputs": list(input_names(model)), "outputs": list(output_names(model))}
    asked = json.dumps({"signature": None if called is None else called.key, **names})

    def start(folder: str) -> str:
        sent = _send(device, [path], folder)[0]
        return (
            _module(device, folder, "tightfit.evaluation.devices.stream_worker")
            + f"{sent} {shlex.quote(asked)}"
        )

    return DeviceSession(device, path, start)


def _module(device: Device, folder: str, name: str) -> str:
    return f"cd {folder} && PYTHONPATH=code {shlex.quote(device.python)} -m {name} "


_WORKER: Final = "tightfit.evaluation.devices.ssh_worker"


def bundle() -> bytes:
    """Return a zip archive of ``PROGRAMS`` and of all that they import, under ``tightfit/``."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in _sources().items():
            archive.writestr(f"tightfit/{name}", source)
    return packed.getvalue()


def _sources() -> dict[str, bytes]:
    """Return file name → content of the programs, of the modules that they import, and of their packages."""
    root, found, left = files("tightfit"), dict[str, bytes](), ["__init__.py", *PROGRAMS]
    while left:
        name = left.pop()
        if name in found or not (place := root.joinpath(name)).is_file():
            continue
        found[name] = place.read_bytes()
        left += [f"{parent.as_posix()}/__init__.py" for parent in list(Path(name).parents)[:-1]]
        for node in ast.walk(ast.parse(found[name])) if name != "__init__.py" else ():
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tightfit"):
                base = node.module.removeprefix("tightfit").lstrip(".").replace(".", "/")
                left += [f"{base}.py", *(f"{base}/{alias.name}.py".lstrip("/") for alias in node.names)]
    return found


def _refuse_unfit(device: Device) -> None:
    """Raise another error for a device that cannot be reached than for one without Python or LiteRT."""
    done = attempt(device.words(_python(device, _LOOK)), CONNECT_S * 4)
    if done.returncode == 255:
        raise RuntimeFailureError(unreachable(device, done.stderr))
    found = re.search(r"found (\d+) (\d+)", done.stdout)
    if found is None:
        raise OptionError(
            f"'{device.url}' lacks Python 3.11 with ai-edge-litert ({last(done.stderr)}); install both "
            f"there: {device.python} -m pip install ai-edge-litert."
        )
    if (int(found[1]), int(found[2])) < (3, 11):
        raise OptionError(
            f"'{device.url}' has Python {found[1]}.{found[2]} as '{device.python}'; expected 3.11 or newer. "
            "Name another with --remote-python."
        )


def _python(device: Device, program: str) -> str:
    return f"{shlex.quote(device.python)} -c {shlex.quote(program)}"


def _send(device: Device, models: Sequence[Path], folder: str) -> list[str]:
    """Copies code and models, under names without spaces, and unpacks the code."""
    names = [f"{i}.tflite" for i in range(len(models))]
    with scratch_folder() as local:
        (local / "code.zip").write_bytes(bundle())
        for name, model in zip(names, models, strict=True):
            (local / name).symlink_to(model.resolve())
        send(device, [local / name for name in ("code.zip", *names)], folder)
    ask(device, f"cd {folder} && {shlex.quote(device.python)} -m zipfile -e code.zip code")
    return names


def _read(device: Device, said: str) -> tuple[dict[str, Any], list[Latency]]:
    try:
        answer = json.loads(said.strip().splitlines()[-1])
        latencies = [Latency(**row) for row in answer["latencies"]]
        return {"on": device.url, **answer["machine"]}, latencies
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise RuntimeFailureError(f"'{device.url}' gave no measurements, but said '{said[-80:]}'.") from error

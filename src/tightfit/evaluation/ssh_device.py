"""Latency on another Linux machine over plain ssh and scp, measured by the same code as here.

The few modules that measure are sent along as source, so the device needs nothing but Python 3.11 or newer
and ai-edge-litert. Everything goes into one temporary folder there, which is removed again.
"""

from __future__ import annotations

import ast
import io
import json
import re
import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.evaluation.latency import Latency
from tightfit.scratch import scratch_folder

PROGRAMS: Final = ("evaluation/ssh_worker.py", "runtime/worker.py", "runtime/child/confinement.py")
"""Modules that run on the device as programs; what they import is sent along."""

_CONNECT_S: Final = 15
_SPARE_S: Final = 300
_FOLDER: Final = re.compile(r"/[\w./-]*tightfit\.\w+")
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
        found = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}"]
        found += ["-o", f"Port={self.port}"] if self.port else []
        return found + (["-F", str(self.config)] if self.config else [])


def latency_on(
    device: Device, models: Sequence[Path], *, threads: int = 1, rounds: int = 50, seconds: float = 30.0
) -> tuple[dict[str, Any], list[Latency]]:
    """Return the device's description and the latency of each model there; ratios are to the first.

    Raises:
        OptionError: ssh is missing here, or Python or ai-edge-litert there.
        RuntimeFailureError: the device cannot be reached, or measuring failed there.
    """
    for program in ("ssh", "scp"):
        if shutil.which(program) is None:
            raise OptionError(f"The command '{program}' is not installed here. Install an OpenSSH client.")
    _refuse_unfit(device)
    folder = _ssh(device, "mktemp -d -t tightfit.XXXXXXXX").strip()
    if not _FOLDER.fullmatch(folder):
        raise RuntimeFailureError(f"'{device.url}' gave no temporary folder, but said '{folder[:80]}'.")
    try:
        names = _send(device, models, folder)
        asked = {"models": names, "threads": threads, "rounds": rounds, "seconds": seconds}
        command = f"cd {folder} && PYTHONPATH=code {shlex.quote(device.python)} -m {_WORKER} "
        said = _ssh(device, command + shlex.quote(json.dumps(asked)), seconds + _SPARE_S)
        return _read(device, said)
    finally:
        _run([*_command(device, "ssh"), "--", device.login, f"rm -rf -- {folder}"], _CONNECT_S * 2)


_WORKER: Final = "tightfit.evaluation.ssh_worker"


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
    """Tells apart a device that cannot be reached from one that lacks Python or LiteRT."""
    done = _run([*_command(device, "ssh"), "--", device.login, _python(device, _LOOK)], _CONNECT_S * 4)
    if done.returncode == 255:
        raise RuntimeFailureError(_unreachable(device, done.stderr))
    found = re.search(r"found (\d+) (\d+)", done.stdout)
    if found is None:
        last = _last(done.stderr)
        raise OptionError(
            f"'{device.url}' lacks Python 3.11 with ai-edge-litert ({last}); install both there: "
            f"{device.python} -m pip install ai-edge-litert."
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
        (Path(local) / "code.zip").write_bytes(bundle())
        for name, model in zip(names, models, strict=True):
            (Path(local) / name).symlink_to(model.resolve())
        host = f"[{device.host}]" if ":" in device.host else device.host
        login = f"{device.user}@{host}" if device.user else host
        sent = [str(Path(local) / name) for name in ("code.zip", *names)]
        done = _run([*_command(device, "scp"), "-q", *sent, f"{login}:{folder}/"], _SPARE_S)
    if done.returncode != 0:
        raise RuntimeFailureError(f"Copying to '{device.url}' failed: {_last(done.stderr)}.")
    _ssh(device, f"cd {folder} && {shlex.quote(device.python)} -m zipfile -e code.zip code")
    return names


def _command(device: Device, program: str) -> list[str]:
    return [program, *device.options()]


def _ssh(device: Device, command: str, timeout_s: float = 60.0) -> str:
    done = _run([*_command(device, "ssh"), "--", device.login, command], timeout_s)
    if done.returncode == 255:
        raise RuntimeFailureError(_unreachable(device, done.stderr))
    if done.returncode != 0:
        raise RuntimeFailureError(f"A command on '{device.url}' failed: {_last(done.stderr)}.")
    return done.stdout


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        words = f"no answer within {timeout_s:.0f} s"
        return subprocess.CompletedProcess(command, 255, "", words)


def _unreachable(device: Device, said: str) -> str:
    return (
        f"Cannot reach '{device.url}': {_last(said)}. Check address and port, and that 'ssh {device.login}' "
        "logs in by a key, without a question."
    )


def _last(said: str) -> str:
    lines = [line.strip().rstrip(".") for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _read(device: Device, said: str) -> tuple[dict[str, Any], list[Latency]]:
    try:
        answer = json.loads(said.strip().splitlines()[-1])
        latencies = [Latency(**row) for row in answer["latencies"]]
        return {"on": device.url, **answer["machine"]}, latencies
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise RuntimeFailureError(f"'{device.url}' gave no measurements, but said '{said[-80:]}'.") from error

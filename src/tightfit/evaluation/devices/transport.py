"""How a device is reached: a folder on it, files copied there, commands run there, streams to one of them.

A transport is any class with ``url``, ``words`` and ``copy``: ssh (``ssh_device``) and adb (``adb_device``)
differ in nothing else. Both are the ordinary programs, which never ask anything.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from tightfit.errors import OptionError, RuntimeFailureError

CONNECT_S: Final = 15
SPARE_S: Final = 300
_FOLDER: Final = re.compile(r"/[\w./-]*tightfit\.\w+")


class Transport(Protocol):
    """A device that a program of this computer reaches."""

    @property
    def url(self) -> str:
        """The address, as results are labelled."""
        ...

    @property
    def programs(self) -> tuple[str, ...]:
        """Programs of this computer that it needs."""
        ...

    @property
    def temporary(self) -> str:
        """The shell command that makes a folder there and prints its path."""
        ...

    @property
    def hint(self) -> str:
        """What to check when it cannot be reached."""
        ...

    def words(self, command: str) -> list[str]:
        """Return the local command that runs a shell command there, with its stdin and stdout."""
        ...

    def copy(self, files: Sequence[Path], folder: str) -> list[str]:
        """Return the local command that copies files into a folder there."""
        ...


def require(transport: Transport) -> None:
    """Check that the programs of a transport are installed here.

    Raises:
        OptionError: one is not.
    """
    for program in transport.programs:
        if shutil.which(program) is None:
            raise OptionError(f"The command '{program}' is not installed here. {transport.hint}")


@contextlib.contextmanager
def device_folder(transport: Transport) -> Iterator[str]:
    """Yield a new folder on a device, which is removed again.

    Raises:
        RuntimeFailureError: the device cannot be reached.
    """
    folder = ask(transport, transport.temporary).strip()
    if not _FOLDER.fullmatch(folder):
        raise RuntimeFailureError(f"'{transport.url}' gave no temporary folder, but said '{folder[:80]}'.")
    try:
        yield folder
    finally:
        attempt(transport.words(f"rm -rf {folder}"), CONNECT_S * 2)


def ask(transport: Transport, command: str, timeout_s: float = 60.0) -> str:
    """Return what a shell command on the device prints.

    Raises:
        RuntimeFailureError: the device cannot be reached, or the command fails there.
    """
    done = attempt(transport.words(command), timeout_s)
    if done.returncode == 255:
        raise RuntimeFailureError(unreachable(transport, done.stderr))
    if done.returncode != 0:
        raise RuntimeFailureError(f"A command on '{transport.url}' failed: {last(done.stderr)}.")
    return done.stdout


def send(transport: Transport, files: Sequence[Path], folder: str) -> None:
    """Copy files into a folder of the device.

    Raises:
        RuntimeFailureError: that failed.
    """
    done = attempt(transport.copy(files, folder), SPARE_S)
    if done.returncode != 0:
        raise RuntimeFailureError(f"Copying to '{transport.url}' failed: {last(done.stderr)}.")


def attempt(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Return how a local command ended; 255 when it took too long."""
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


def unreachable(transport: Transport, said: str) -> str:
    """Return the sentence on a device that did not answer."""
    return f"Cannot reach '{transport.url}': {last(said)}. {transport.hint}"


def last(said: str) -> str:
    r"""Return the last line of what a program said.

    Example:
        >>> last("one\ntwo.\n\n")
        'two'
    """
    lines = [line.strip().rstrip(".") for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"

"""Starts, watches and ends the worker process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tightfit.runtime.channel import Channel, ChannelClosedError, ChannelTimeoutError

# The parent's places come last: a struct.py beside a user's script must not stand in for the library's.
_START = (
    "import sys; places = sys.argv[3:]; "
    "sys.path[:0] = [p for p in places[:1] if p not in sys.path]; "
    "sys.path += [p for p in places if p not in sys.path]; "
    "from tightfit.runtime.{} import main; main()"
)
_TAIL_BYTES = 2000
_CRASHES = ("SIGABRT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL")
_NOISE = ("INFO:", "WARNING: All log messages", "WARNING: Attempting to use a delegate")


_spare: list[Child] = []


def prepare(count: int = 1) -> None:
    """Starts workers ahead for the next sessions: reading a model meanwhile hides their start-up time."""
    while len(_spare) < count:
        _spare.append(Child())


def take() -> Child:
    """Gives a prepared worker if there is one, else a new one; threads may call it at once."""
    with contextlib.suppress(IndexError):
        while True:
            child = _spare.pop()
            if child.is_own:
                return child
    return Child()


class Child:
    """A running child process with a channel to it; it dies with this object at the latest.

    Args:
        program: the module of this package that the child runs.
        environment: variables beside the parent's.
    """

    faults = (ChannelClosedError, ChannelTimeoutError)

    def __init__(self, program: str = "worker", environment: Mapping[str, str] | None = None) -> None:
        self._channel = Channel()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        fcntl.fcntl(self._log, fcntl.F_SETFL, os.O_APPEND)  # the child may empty it and write on
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-c",
                _START.format(program),
                *map(str, self._channel.child_fds),
                *_places(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=self._channel.child_fds,
            # NumPy's idle threads disturb timings.
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"} | dict(environment or {}),
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        self._channel.release_child_fds()
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _end, self._owner, self._process, self._channel, self._log)

    @property
    def is_own(self) -> bool:
        """False in a fork of the process that started the child."""
        return self._owner == os.getpid()

    def send(self, message: Any, timeout_s: float | None) -> None:
        """Sends one message; see ``Channel.send``."""
        self._channel.send(message, timeout_s)

    def receive(self, timeout_s: float | None) -> Any:
        """Gives the next message; see ``Channel.receive``."""
        return self._channel.receive(timeout_s)

    def describe_exit(self, fault: Exception, doing: str) -> str:
        """Says how the child ended, and its own last words."""
        if isinstance(fault, ChannelTimeoutError):
            return f"LiteRT did not answer in time while {doing}; its process was ended."
        self._wait()
        words = self.last_log_line()
        said = f" Its last words: {words}" if words else ""
        return f"LiteRT {_manner(self._process.returncode)} while {doing}.{said}"

    def crashed(self, fault: Exception) -> bool:
        """True when a fault of the code that ran ended the child, not a lack of memory or of time."""
        if isinstance(fault, ChannelTimeoutError):
            return False
        self._wait()
        return _signal_name(self._process.returncode) in _CRASHES

    def _wait(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)

    def last_log_line(self) -> str:
        """The last line of what the child printed, without LiteRT's greetings."""
        size = os.fstat(self._log.fileno()).st_size
        tail = os.pread(self._log.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        lines = [line.strip() for line in tail.decode("utf-8", "replace").splitlines()]
        told = [line for line in lines if line and not line.startswith(_NOISE)]
        return told[-1] if told else ""

    def log(self) -> str:
        """Return everything that the child printed so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode("utf-8", "replace")

    def close(self) -> None:
        """Ends the process and frees what belongs to it; may be called twice."""
        self._finalizer()


def _manner(code: int | None) -> str:
    """How a process with this return code ended, in words.

    Example:
        >>> _manner(-6)
        'died with SIGABRT'
    """
    if code is None:
        return "closed its pipe but did not end"
    if code >= 0:
        return f"ended with code {code}"
    name = _signal_name(code)
    return f"died with {name}" + (" (often: out of memory)" if name == "SIGKILL" else "")


def _signal_name(code: int | None) -> str:
    return "" if code is None or code >= 0 else signal.Signals(-code).name


def _places() -> list[str]:
    """Where the child looks for modules: this package's root, then where the parent looks."""
    root = str(Path(__file__).resolve().parents[2])
    return [root, *(str(Path(place).resolve()) for place in sys.path)]


def _end(owner: int, process: subprocess.Popen[bytes], channel: Channel, log: IO[bytes]) -> None:
    """Kills and reaps: the worker holds nothing worth an orderly end. A fork leaves it to its owner."""
    if os.getpid() == owner:
        process.kill()
        process.wait()
    channel.close()
    log.close()

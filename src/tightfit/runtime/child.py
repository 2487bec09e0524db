"""Starts, watches and ends the worker process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from typing import IO, Any

from tightfit.runtime import process
from tightfit.runtime.channel import Channel, ChannelClosedError, ChannelTimeoutError
from tightfit.runtime.memory import VARIABLE, memory_limit, size_text
from tightfit.runtime.sandbox import is_wanted

_TAIL_BYTES = 2000
_MEMORY_SIGNS = ("bad_alloc", "out of memory", "cannot allocate", "failed to allocate", "memoryerror")
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

    Attributes:
        limit_bytes: what it may allocate, None for no limit.
    """

    faults = (ChannelClosedError, ChannelTimeoutError)

    def __init__(self, program: str = "worker", environment: Mapping[str, str] | None = None) -> None:
        self._channel = Channel()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        fcntl.fcntl(self._log, fcntl.F_SETFL, os.O_APPEND)  # the child may empty it and write on
        confinement = process.Confinement(
            memory_limit(), sandbox=is_wanted(), dies_with_parent=process.from_main_thread()
        )
        fds = [str(fd) for fd in self._channel.child_fds]
        self._process = subprocess.Popen(
            process.command(f"tightfit.runtime.{program}", fds, confinement),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=self._channel.child_fds,
            # NumPy's idle threads disturb timings.
            env=process.environment({"OPENBLAS_NUM_THREADS": "1"} | dict(environment or {})),
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        self._channel.release_child_fds()
        self.limit_bytes = confinement.memory_bytes
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
        said = self.memory_hint(self._tail()) or said
        return f"LiteRT {process.describe_exit(self._process.returncode)} while {doing}.{said}"

    def memory_hint(self, words: str) -> str:
        """Return a sentence on the limit where words speak of memory that was not given, else ""."""
        silent = words.strip() in ("RuntimeError.", "MemoryError.")  # LiteRT says no more of it
        if self.limit_bytes is None or not (silent or any(sign in words.lower() for sign in _MEMORY_SIGNS)):
            return ""
        return f" It may allocate {size_text(self.limit_bytes)}; {VARIABLE} sets another limit."

    def crashed(self, fault: Exception) -> bool:
        """True when a fault of the code that ran ended the child, not a lack of memory or of time."""
        if isinstance(fault, ChannelTimeoutError):
            return False
        self._wait()
        return process.has_crashed(self._process.returncode) and not self.memory_hint(self._tail())

    def _wait(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)

    def last_log_line(self) -> str:
        """The last line of what the child printed, without LiteRT's greetings."""
        return process.last_line(self._tail(), _NOISE)

    def _tail(self) -> str:
        """The end of what the child printed."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode(
            "utf-8", "replace"
        )

    def log(self) -> str:
        """Return everything that the child printed so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode("utf-8", "replace")

    def close(self) -> None:
        """Ends the process and frees what belongs to it; may be called twice."""
        self._finalizer()


def _end(owner: int, process: subprocess.Popen[bytes], channel: Channel, log: IO[bytes]) -> None:
    """Kills and reaps: the worker holds nothing worth an orderly end. A fork leaves it to its owner."""
    if os.getpid() == owner:
        process.kill()
        process.wait()
    channel.close()
    log.close()

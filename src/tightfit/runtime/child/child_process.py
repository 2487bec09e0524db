"""Starts, watches and ends worker processes: one for a session, or one whose threads serve several."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from typing import IO, Any

from tightfit.runtime.child import process
from tightfit.runtime.child.channel import Channel, ChannelClosedError, ChannelTimeoutError
from tightfit.runtime.child.memory import VARIABLE, memory_limit, size_text
from tightfit.runtime.child.sandbox import is_wanted
from tightfit.runtime.child.template import fork_worker

_TAIL_BYTES = 2000
_MEMORY_SIGNS = ("bad_alloc", "out of memory", "cannot allocate", "failed to allocate", "memoryerror")
_NOISE = ("INFO:", "WARNING: All log messages", "WARNING: Attempting to use a delegate")


_spare: list[Child] = []
_shared: list[Child] = []


def prepare(count: int = 1) -> None:
    """Starts workers ahead for the next sessions: reading a model meanwhile hides their start-up time."""
    while len(_spare) < count:
        _spare.append(Child())


def prepare_shared(count: int) -> None:
    """Starts one process ahead whose threads serve ``count`` sessions: one start-up for all of them.

    For sessions that belong to one task. A crash ends all of them, and their memory is one process's, so
    nothing that measures memory may use them.
    """
    if not any(child.is_own for child in _shared):
        _shared.extend(_start(count))


def take() -> Child:
    """Return a prepared worker if there is one, else a new one; threads may call it at once."""
    return _own(_spare) or Child()


def take_shared() -> Child:
    """Return a free thread of the shared process if there is one, else a worker as ``take`` does."""
    return _own(_shared) or take()


def _own(ready: list[Child]) -> Child | None:
    """Takes a child of this process (not of the one it was forked from) out of a list."""
    with contextlib.suppress(IndexError):
        while True:
            child = ready.pop()
            if child.is_own:
                return child
    return None


def _start(count: int) -> list[Child]:
    """One process, with a channel to each of ``count`` threads of it."""
    channels = [Channel() for _ in range(count)]
    shared = _Process("worker", channels)
    return [Child(shared=shared, channel=channel) for channel in channels]


def _least(*limits: int | None) -> int | None:
    """The lowest of some limits; None is no limit."""
    return min((limit for limit in limits if limit is not None), default=None)


class _Process:
    """A running process, what it prints, and how many channels to it are open."""

    def __init__(
        self,
        program: str,
        channels: Sequence[Channel],
        environment: Mapping[str, str] | None = None,
        interpreter: process.Interpreter | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self.owner = os.getpid()
        self.open = len(channels)
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        fcntl.fcntl(self.log, fcntl.F_SETFL, os.O_APPEND)  # the process may empty it and write on
        ends = list(zip(*(channel.child_fds for channel in channels), strict=True))
        confinement = process.Confinement(
            _least(memory_limit(), memory_bytes),
            sandbox=is_wanted(),
            dies_with_parent=process.from_main_thread(),
        )
        self.limit_bytes = confinement.memory_bytes
        # NumPy's idle threads disturb timings.
        variables = process.environment({"OPENBLAS_NUM_THREADS": "1"} | dict(environment or {}))
        fds = [fd for of_all in ends for fd in of_all]
        forked = None
        if program == "worker" and interpreter is None:
            forked = fork_worker([*fds, self.log.fileno()], variables, confinement)
        words = [",".join(map(str, of_all)) for of_all in ends]
        command = process.command(f"tightfit.runtime.{program}", words, confinement, interpreter=interpreter)
        self.running = forked or self._started(command, fds, variables)
        for channel in channels:
            channel.release_child_fds()

    def _started(
        self, command: Sequence[str], fds: Sequence[int], variables: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """A process of its own, with all its imports to do."""
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            pass_fds=fds,
            env=variables,
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )

    def release(self, channel: Channel) -> None:
        """Closes a channel, and with the last one the process; a fork leaves both to their owner."""
        channel.close()
        if os.getpid() != self.owner:
            return
        self.open -= 1
        if self.open <= 0:
            self.end()

    def end(self) -> None:
        """Kills and reaps: the worker holds nothing worth an orderly end."""
        if os.getpid() == self.owner:
            self.running.kill()
            self.running.wait()
        self.log.close()


class Child:
    """A running child process with a channel to it; it dies with this object at the latest.

    Args:
        program: the module of this package that the child runs.
        shared: a process that is shared with others.
        channel: this child's channel to it.
        environment: variables beside the parent's.
        interpreter: the Python that runs it; None for this one.
        memory_bytes: what its process may allocate from its start on; None for what any process may.

    Attributes:
        limit_bytes: what the process may allocate, None for no limit.
        sharers: the sessions that use it.
    """

    faults = (ChannelClosedError, ChannelTimeoutError)

    def __init__(
        self,
        program: str = "worker",
        environment: Mapping[str, str] | None = None,
        *,
        shared: _Process | None = None,
        channel: Channel | None = None,
        interpreter: process.Interpreter | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self.is_shared = shared is not None
        self._channel = channel or Channel()
        self._shared = shared or _Process(program, [self._channel], environment, interpreter, memory_bytes)
        self._process, self._log = self._shared.running, self._shared.log
        self.limit_bytes, self.sharers = self._shared.limit_bytes, self._shared.open
        self._finalizer = weakref.finalize(self, self._shared.release, self._channel)

    @property
    def is_own(self) -> bool:
        """False in a fork of the process that started the child, and after the child's end."""
        alive = self._finalizer.alive and self._shared.owner == os.getpid()
        return alive and self._process.poll() is None

    def send(self, message: Any, timeout_s: float | None) -> None:
        """Sends one message; see ``Channel.send``."""
        self._channel.send(message, timeout_s)

    def receive(self, timeout_s: float | None) -> Any:
        """Return the next message; see ``Channel.receive``."""
        return self._channel.receive(timeout_s)

    def describe_exit(self, fault: Exception, doing: str) -> str:
        """Return how the child ended, and the last lines that it printed."""
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

    def give_back(self) -> None:
        """Lets another session use this thread of a shared process; ends a process of its own."""
        if self.is_shared and self.is_own:
            _shared.append(self)
        else:
            self.close()

    def kill(self) -> None:
        """Ends the process for all sessions that use it: it hangs, or gave half a reply."""
        if self._shared.owner == os.getpid():
            self._process.kill()
        self.close()

    def log(self) -> str:
        """Return everything that the child printed so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode("utf-8", "replace")

    def close(self) -> None:
        """Ends the process, once no other session uses it, and frees what belongs to it."""
        self._finalizer()

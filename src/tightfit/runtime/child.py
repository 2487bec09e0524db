"""Starts, watches and ends worker processes: one for a session, or one whose threads serve several."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
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
    """Gives a prepared worker if there is one, else a new one; threads may call it at once."""
    return _own(_spare) or Child()


def take_shared() -> Child:
    """Gives a free thread of the shared process if there is one, else a worker as ``take`` does."""
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
    process = _Process("worker", channels)
    return [Child(process=process, channel=channel) for channel in channels]


class _Process:
    """A running process, what it prints, and how many channels to it are open."""

    def __init__(self, program: str, channels: Sequence[Channel]) -> None:
        self.owner = os.getpid()
        self.open = len(channels)
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        fcntl.fcntl(self.log, fcntl.F_SETFL, os.O_APPEND)  # the process may empty it and write on
        ends = list(zip(*(channel.child_fds for channel in channels), strict=True))
        self.running = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-c",
                _START.format(program),
                *(",".join(map(str, fds)) for fds in ends),
                *_places(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            pass_fds=[fd for fds in ends for fd in fds],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # NumPy's idle threads disturb timings
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        for channel in channels:
            channel.release_child_fds()

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
        process: a process that is shared with others. channel: this child's channel to it.
    """

    faults = (ChannelClosedError, ChannelTimeoutError)

    def __init__(
        self, program: str = "worker", *, process: _Process | None = None, channel: Channel | None = None
    ) -> None:
        self.is_shared = process is not None
        self._channel = channel or Channel()
        self._shared = process or _Process(program, [self._channel])
        self._process, self._log = self._shared.running, self._shared.log
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

    def close(self) -> None:
        """Ends the process, once no other session uses it, and frees what belongs to it."""
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

"""A worker that a template process forked: its number, its end and its return code; see ``template``."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import threading
import weakref
from collections.abc import Callable
from typing import Final

KILLED: Final = -9
"""Return code of a process that SIGKILL ended."""


class Forked:
    """A worker that a template forked, with what ``subprocess.Popen`` offers of a process.

    Args:
        status_fd: where its template writes its process number (0: it could not fork), then its return code.
        end: asks the template to end it; raises ``OSError`` where the template is gone.
        template_code: the return code of the template, which is ending.

    Attributes:
        returncode: as of ``subprocess.Popen``; None while it runs, or before anyone asked.
    """

    def __init__(self, status_fd: int, end: Callable[[], None], template_code: Callable[[], int]) -> None:
        self.returncode: int | None = None
        self._status_fd, self._end, self._template_code = status_fd, end, template_code
        self._told = b""
        self._lock = threading.Lock()  # sessions in several threads may share a worker
        self._finalizer = weakref.finalize(self, os.close, status_fd)

    @property
    def pid(self) -> int:
        """The process number; waits until the template has forked it.

        Raises:
            ProcessLookupError: the template ended before, or could not fork.
        """
        while len(self._told) < 4 and self.returncode is None:
            self._read(None)
        number = int(struct.unpack("<i", self._told[:4])[0]) if self._told else 0
        if number == 0:
            raise ProcessLookupError("The worker was never started; its template could not fork it.")
        return number

    def poll(self) -> int | None:
        """Return the return code, None while it runs."""
        while self.returncode is None and self._read(0):
            pass
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the return code once it has ended.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        while (code := self.returncode) is None:
            if not self._read(timeout):
                raise subprocess.TimeoutExpired("worker", timeout or 0)
        return code

    def kill(self) -> None:
        """End the process; one that has ended is left alone."""
        if self.poll() is None:
            with contextlib.suppress(OSError):  # the template is gone, and the worker with it
                self._end()

    def close(self) -> None:
        """Free what belongs to it; may be called twice."""
        self._finalizer()

    def _read(self, timeout_s: float | None) -> bool:
        """Read the messages of the template; False when there are none."""
        poll = select.poll()  # select takes no descriptor over 1,023
        poll.register(self._status_fd, select.POLLIN)
        if not poll.poll(None if timeout_s is None else timeout_s * 1e3):
            return False
        with self._lock:
            # Another thread may have read it meanwhile: reading on would wait, or find the end of the pipe.
            if self.returncode is None and poll.poll(0):
                self._take(os.read(self._status_fd, 8))
        return True

    def _take(self, data: bytes) -> None:
        self._told += data
        if len(self._told) >= 8:
            self.returncode = int(struct.unpack("<i", self._told[4:8])[0])
        elif not data:
            # A worker dies with its template; one that was never forked ended as the template did.
            self.returncode = KILLED if self._told else self._template_code()

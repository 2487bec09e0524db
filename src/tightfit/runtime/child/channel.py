"""The session's end of the two pipes to its child: frames out, frames in, both at once.

A frame is its length (8 bytes, little-endian) and a pickle. Sending also reads what has arrived: else parent
and child could wait for one another forever, each with a full pipe.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import select
import struct
import time
from typing import Any

_PIPE_BYTES = 1 << 20


class ChannelClosedError(Exception):
    """The child closed its end: it died."""


class ChannelTimeoutError(Exception):
    """The child did not answer in time."""


class Channel:
    """Frames over a pair of pipes, with time limits. Not for several threads.

    Attributes:
        child_fds: the file descriptors that the child must inherit: where it reads, where it writes.
    """

    def __init__(self) -> None:
        child_reads, self._write_fd = os.pipe()
        self._read_fd, child_writes = os.pipe()
        self.child_fds = (child_reads, child_writes)
        self._received = bytearray()
        for fd in (self._write_fd, self._read_fd):
            os.set_blocking(fd, False)
            # A sample of a common image model fits whole, so the next can wait in the pipe.
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def release_child_fds(self) -> None:
        """Closes the child's ends here, so that its death shows as an end of file."""
        for fd in self.child_fds:
            os.close(fd)
        self.child_fds = (-1, -1)

    def send(self, message: Any, timeout_s: float | None) -> None:
        """Writes one frame, reading meanwhile what the child has to say.

        Raises:
            ChannelClosedError: the child is gone. ChannelTimeoutError: it does not read.
        """
        body = pickle.dumps(message, protocol=5)
        view = memoryview(struct.pack("<Q", len(body)) + body)
        deadline = _deadline(timeout_s)
        while view:
            readable, writable = self._wait(deadline, writing=True)
            if readable:
                self._read_some()
            if writable:
                view = view[self._write_some(view) :]

    def receive(self, timeout_s: float | None) -> Any:
        """Return the next frame's message.

        Raises:
            ChannelClosedError: the child is gone. ChannelTimeoutError: it does not answer.
        """
        deadline = _deadline(timeout_s)
        while (end := self._frame_end()) is None:
            self._wait(deadline, writing=False)
            self._read_some()
        with memoryview(self._received) as view:
            message = pickle.loads(view[8:end])  # noqa: S301 - from our own child, over a private pipe
        del self._received[:end]
        return message

    def close(self) -> None:
        """Closes this side's file descriptors; may be called twice."""
        fds = (self._write_fd, self._read_fd, *self.child_fds)
        self._write_fd = self._read_fd = -1
        self.child_fds = (-1, -1)
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def _frame_end(self) -> int | None:
        if len(self._received) < 8:
            return None
        end = 8 + int(struct.unpack_from("<Q", self._received)[0])
        return end if len(self._received) >= end else None

    def _wait(self, deadline: float | None, *, writing: bool) -> tuple[bool, bool]:
        poll = select.poll()
        poll.register(self._read_fd, select.POLLIN)
        if writing:
            poll.register(self._write_fd, select.POLLOUT)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1e3
        ready = dict(poll.poll(left))
        if not ready:
            raise ChannelTimeoutError
        return self._read_fd in ready, self._write_fd in ready

    def _read_some(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._read_fd, _PIPE_BYTES)
            if not data:
                raise ChannelClosedError
            self._received += data

    def _write_some(self, view: memoryview) -> int:
        try:
            return os.write(self._write_fd, view[:_PIPE_BYTES])
        except BlockingIOError:
            return 0
        except BrokenPipeError as error:
            raise ChannelClosedError from error


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s

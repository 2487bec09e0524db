"""The template process: it has imported LiteRT and NumPy, loads no model, and forks workers on request.

A worker that is started afresh spends its time on imports; a fork of this process has them done, and is as
clean: nothing of a model, of data or of the user's code ever runs in the template. It has one thread, which
is what makes the fork safe.

A request is one packet on the control socket: JSON, and for a worker its file descriptors (its status pipe,
those of its channels, its log). On the status pipe the template writes the worker's process number, 0 where
it could not fork, and its return code once it has ended. The end of the control socket ends the template and
all workers.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from tightfit.runtime import worker
from tightfit.runtime.child.confinement import confine
from tightfit.runtime.child.template import MOST_BYTES

_MOST_FDS: Final = 253  # the kernel's SCM_MAX_FD


def main() -> None:
    """Serve requests until the control socket ends."""
    gc.collect()
    gc.freeze()  # a collection in a worker would else write to, and so copy, the shared pages
    with socket.socket(fileno=int(sys.argv[1])) as control:
        _Template(control).serve()


class _Template:
    """The workers that run: by their number, the process and the status pipe."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._running: dict[int, tuple[int, int]] = {}
        self._wake, wakes = os.pipe()
        for fd in (self._wake, wakes):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler nothing wakes the loop

    def serve(self) -> None:
        """Fork, end and reap workers until the other end of the socket is closed."""
        poll = select.poll()  # select takes no descriptor over 1,023
        for fd in (self._control.fileno(), self._wake):
            poll.register(fd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self._wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 1 << 12)
                self._reap()
            if self._control.fileno() in ready and not self._obey():
                return

    def _obey(self) -> bool:
        """Take one request; False when there will be no more."""
        packet, fds, _, _ = socket.recv_fds(self._control, MOST_BYTES, _MOST_FDS)
        if not packet:
            for process, _ in self._running.values():
                os.kill(process, signal.SIGKILL)
            return False
        request = json.loads(packet)
        if "kill" in request:
            if (found := self._running.get(request["kill"])) is not None:
                os.kill(found[0], signal.SIGKILL)  # not reaped yet: the number is still its own
            return True
        self._fork(request, fds)
        return True

    def _fork(self, request: Mapping[str, Any], fds: Sequence[int]) -> None:
        status, *kept = fds
        try:
            process = os.fork()
        except OSError as error:
            _refuse(status, kept[-1], error)
        else:
            if process == 0:
                self._leave(status)
                _become_worker(request, kept)
            self._running[request["number"]] = (process, status)
            _tell(status, process)
        for fd in kept:
            os.close(fd)

    def _leave(self, status: int) -> None:
        """Close in the worker what belongs to the template."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        wakes = signal.set_wakeup_fd(-1)
        for fd in (self._wake, wakes, status, *(fd for _, fd in self._running.values())):
            os.close(fd)
        self._control.close()

    def _reap(self) -> None:
        """Tell the return code of each worker that has ended."""
        for number, (process, status) in list(self._running.items()):
            ended, code = os.waitpid(process, os.WNOHANG)
            if ended:
                del self._running[number]
                _tell(status, os.waitstatus_to_exitcode(code))
                os.close(status)


def _refuse(status: int, log: int, error: OSError) -> None:
    """Tell that a worker could not be forked: too many processes, or too little memory."""
    with contextlib.suppress(OSError):  # the disk of the log is full
        os.write(log, f"{error}\n".encode())
    for value in (0, 1):
        _tell(status, value)
    os.close(status)


def _tell(status: int, value: int) -> None:
    with contextlib.suppress(OSError):  # who asked for it has gone
        os.write(status, struct.pack("<i", value))


def _become_worker(request: Mapping[str, Any], fds: Sequence[int]) -> NoReturn:
    """Turn this fork into the worker of a request; it ends with it."""
    code = 1
    try:
        os.setsid()  # Ctrl-C is the parent's to handle
        *ends, log = fds
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        for name in request["unset"]:
            os.environ.pop(name, None)
        os.environ.update(request["set"])
        confine(request["settings"] | {"dies_with_parent": True, "parent": os.getppid()})
        reads, writes = ends[: len(ends) // 2], ends[len(ends) // 2 :]
        sys.argv[1:] = [",".join(map(str, fds)) for fds in (reads, writes)]
        worker.main()
        code = 0
    except BaseException:  # noqa: BLE001 - no exception may come back into the template's loop
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)

"""Workers made by forking a template process that has its imports done; see ``forking`` for the other side.

``multiprocessing``'s fork server would do the same, but it imports the user's ``__main__`` again and looks
for modules where the parent does, the current folder included: code that nobody asked to run.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from tightfit.runtime.child import process

MOST_BYTES: Final = 1 << 16
"""Length of a request to a template at most."""
_KILLED: Final = -9
_numbers = itertools.count()
_lock = threading.Lock()
_template: Template | None = None


def fork_worker(
    fds: Sequence[int], variables: Mapping[str, str], confinement: process.Confinement
) -> Forked | None:
    """Return a worker forked from this process's template, which is started at the first call.

    Args:
        fds: where the worker reads, for each of its threads, then where it writes, then its log.
        variables: its environment, whole.
        confinement: what it may use; it always dies with the template, which dies with this process.

    Returns:
        the worker, or None where it must be started afresh: not on Linux, the template was killed, or the
        variables are too long for a request.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        return _of_this_process(fds[-1]).fork(fds, variables, confinement)
    except OSError as error:
        if error.errno != errno.EMSGSIZE:  # the template was killed
            _forget()
        return None


def _of_this_process(log: int) -> Template:
    global _template  # noqa: PLW0603 - one template for all sessions of this process
    with _lock:
        folders = tuple(process.module_folders())
        if _template is None or _template.owner != os.getpid() or _template.folders != folders:
            _template = Template(folders, log)
        return _template


def _forget() -> None:
    global _template  # noqa: PLW0603 - the next worker starts another one
    with _lock:
        _template = None


class Template:
    """A running template process. Its workers may outlive its place here, not its process.

    Args:
        folders: where it looks for modules; part of what it is, since its imports are done.
        log: takes what it prints, which is why it ended.

    Attributes:
        owner: the process that started it.
    """

    def __init__(self, folders: tuple[str, ...], log: int) -> None:
        self.owner, self.folders = os.getpid(), folders
        self._variables = process.environment({"OPENBLAS_NUM_THREADS": "1"})
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        confinement = process.Confinement(dies_with_parent=process.from_main_thread())
        with theirs:
            self._running = subprocess.Popen(
                process.command("tightfit.runtime.child.forking", [str(theirs.fileno())], confinement),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                env=self._variables,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        self._finalizer = weakref.finalize(self, _end, self._control, self._running, self.owner)

    def fork(
        self, fds: Sequence[int], variables: Mapping[str, str], confinement: process.Confinement
    ) -> Forked:
        """Return a new worker; see ``fork_worker``.

        Raises:
            OSError: the template is gone, or the request is too long.
        """
        reads, status = os.pipe()
        worker = Forked(self, next(_numbers), reads)
        changed = {k: v for k, v in variables.items() if self._variables.get(k) != v}
        unset = [k for k in self._variables if k not in variables]
        request = {"set": changed, "unset": unset, "settings": asdict(confinement)}
        try:
            self.tell(request | {"number": worker.number}, [*fds, status])
        except OSError:
            worker.close()
            raise
        finally:
            os.close(status)
        return worker

    def tell(self, request: Mapping[str, object], fds: Sequence[int] = ()) -> None:
        """Send one request.

        Raises:
            OSError: the template is gone, or the request is too long.
        """
        packet = json.dumps(request).encode()
        if len(packet) > MOST_BYTES:
            raise OSError(errno.EMSGSIZE, f"a request of {len(packet)} bytes")
        if fds:
            socket.send_fds(self._control, [packet], list(fds))
        else:
            self._control.send(packet)

    def end_code(self) -> int:
        """Return the return code of the template, which is ending."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._running.wait(timeout=5)
        return _KILLED


def _end(control: socket.socket, running: subprocess.Popen[bytes], owner: int) -> None:
    """End the template with what it still runs; a fork of its owner only lets go of it."""
    control.close()
    if os.getpid() == owner:
        running.kill()
        running.wait()


class Forked:
    """A worker that a template forked, with what ``subprocess.Popen`` offers of a process.

    Args:
        template: kept alive as long as this.
        number: of the worker, in requests to its template.
        status_fd: where the template writes its process number, then its return code.

    Attributes:
        returncode: as of ``subprocess.Popen``; None while it runs, or before anyone asked.
    """

    def __init__(self, template: Template, number: int, status_fd: int) -> None:
        self.number = number
        self.returncode: int | None = None
        self._template, self._status_fd = template, status_fd
        self._told = b""
        self._finalizer = weakref.finalize(self, os.close, status_fd)

    @property
    def pid(self) -> int:
        """The process number; waits until the template has forked it.

        Raises:
            ProcessLookupError: the template ended before.
        """
        while len(self._told) < 4 and self.returncode is None:
            self._read(None)
        if len(self._told) < 4:
            raise ProcessLookupError("The worker was never started; its template process ended.")
        return int(struct.unpack("<i", self._told[:4])[0])

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
                self._template.tell({"kill": self.number})

    def close(self) -> None:
        """Free what belongs to it; may be called twice."""
        self._finalizer()

    def _read(self, timeout_s: float | None) -> bool:
        """Take in what the template told meanwhile; False when that is nothing."""
        poll = select.poll()  # select takes no descriptor over 1,023
        poll.register(self._status_fd, select.POLLIN)
        if not poll.poll(None if timeout_s is None else timeout_s * 1e3):
            return False
        data = os.read(self._status_fd, 8)
        self._told += data
        if len(self._told) >= 8:
            self.returncode = int(struct.unpack("<i", self._told[4:8])[0])
        elif not data:
            # A worker dies with its template; one that was never forked ended as the template did.
            self.returncode = _KILLED if self._told else self._template.end_code()
        return True

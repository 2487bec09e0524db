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
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Final

from tightfit.runtime.child import process
from tightfit.runtime.child.forked_worker import KILLED, Forked

MOST_BYTES: Final = 1 << 16
"""Length of a request to a template at most."""
_numbers = itertools.count()
_lock = threading.RLock()
_template: Template | None = None
_alive: weakref.WeakSet[Template] = weakref.WeakSet()


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


def _let_go() -> None:
    """In a fork of this process: leave the templates to their owner, who could else not end them."""
    for template in list(_alive):
        template.let_go()
    _lock.release()


# No fork while another thread starts a template: it would keep an end of the control socket for good.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_let_go)


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
        _alive.add(self)

    def fork(
        self, fds: Sequence[int], variables: Mapping[str, str], confinement: process.Confinement
    ) -> Forked:
        """Return a new worker; see ``fork_worker``.

        Raises:
            OSError: the template is gone, or the request is too long.
        """
        reads, status = os.pipe()
        number = next(_numbers)
        worker = Forked(reads, partial(self._tell, {"kill": number}), self._end_code)
        changed = {k: v for k, v in variables.items() if self._variables.get(k) != v}
        unset = [k for k in self._variables if k not in variables]
        request = {"set": changed, "unset": unset, "settings": asdict(confinement)}
        try:
            self._tell(request | {"number": number}, [status, *fds])
        except OSError:
            worker.close()
            raise
        finally:
            os.close(status)
        return worker

    def let_go(self) -> None:
        """Close this process's end of the control socket; the template ends when no process has it."""
        self._control.close()

    def _tell(self, request: Mapping[str, object], fds: Sequence[int] = ()) -> None:
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

    def _end_code(self) -> int:
        """Return the return code of the template, which is ending."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._running.wait(timeout=5)
        return KILLED


def _end(control: socket.socket, running: subprocess.Popen[bytes], owner: int) -> None:
    """End the template with what it still runs; a fork of its owner only lets go of it."""
    control.close()
    if os.getpid() == owner:
        running.kill()
        running.wait()

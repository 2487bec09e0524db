"""What a child process does first: it gives up what it does not need, then runs its program.

Runs in the child, before anything else is imported there; loads nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import runpy
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1

CONFINED: Final = "TIGHTFIT_CONFINED"
"""Variable of a sandboxed child: what the system could do, some of ``namespaces`` and ``landlock``."""


def start(program: str, settings: str) -> None:
    """Confines this process by the settings of ``process.Confinement``, then runs the program."""
    confine(json.loads(settings))
    if program.startswith("-m "):
        sys.argv[0] = program
        runpy.run_module(program[3:], run_name="__main__", alter_sys=True)
    else:
        import_module(program).main()


def confine(settings: Mapping[str, Any]) -> None:
    """Limits this process; what the system does not offer is left out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash may be expected, its core file is of no use
    if settings["memory_bytes"] is not None:
        limit_memory(settings["memory_bytes"])
    if settings["dies_with_parent"]:
        _die_with(settings["parent"])
    if settings["sandbox"]:
        from tightfit.runtime.child.sandbox import enter  # noqa: PLC0415 - not every child needs it

        os.environ[CONFINED] = " ".join(enter(tuple(settings["writable"])))


def limit_memory(most_bytes: int) -> None:
    """Limit the bytes of data that this process may allocate; an earlier, lower limit stays.

    ``RLIMIT_DATA`` counts private memory that can be written (Linux ≥ 4.7): a mapped file, such as a model,
    does not count. Systems that do not enforce it lose nothing.
    """
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _die_with(parent: int) -> None:
    """Has the kernel end this process when the thread that started it ends (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes  # noqa: PLC0415 - only here

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended meanwhile
        os.kill(os.getpid(), signal.SIGKILL)

"""Takes the network and the right to write away from this process, where Linux lets it do so itself.

Two means of the kernel, each used where it is there and left out elsewhere:

- a user and a network namespace of its own (``unshare``): no device, no address, no socket of the outside;
- Landlock: every file system is read-only but for the named folders, and TCP is refused.

``available`` says which there are. Neither needs a right that a plain user lacks, and both last as long as
the process and its children. ``TIGHTFIT_SANDBOX=off`` leaves them out.

Source: ``Documentation/userspace-api/landlock.rst`` (ABI 1 to 7), ``unshare(2)``.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import struct
import sys
from collections.abc import Sequence
from typing import Any, Final

_NEW_USER: Final = 0x10000000
_NEW_NET: Final = 0x40000000
_PR_SET_NO_NEW_PRIVS: Final = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_BENEATH: Final = 1
_VERSION_FLAG: Final = 1

# Rights of files, by the version of the interface that brought them; reading and executing stay free.
_WRITE_FILE = 1 << 1
_WRITES_BY_VERSION: Final = {1: (1 << 1) | sum(1 << i for i in range(4, 13)), 2: 1 << 13, 3: 1 << 14}
_FILE_WRITES: Final = _WRITE_FILE | (1 << 14)
_TCP: Final = 0b11  # bind, connect: from version 4
_MEANS: Final = {
    "namespaces": "no network namespace to plain users",
    "landlock": "no Landlock, so that the child could write files outside of its folder",
}
_DEVICES: Final = ("null", "zero", "full", "shm", "dri", "kfd", "accel", "nvidia")  # the last four are GPUs


def is_wanted() -> bool:
    """Return False where the user switched the sandbox off."""
    return os.environ.get("TIGHTFIT_SANDBOX", "").lower() not in ("off", "0", "no")


@functools.cache
def available() -> tuple[str, ...]:
    """Return what this system can do: some of ``namespaces`` and ``landlock``.

    ``namespaces`` is tried in a process of its own, since there is no way back.
    """
    found = ["namespaces"] if sys.platform.startswith("linux") and _tried(_leave_network) else []
    return (*found, "landlock") if _version() > 0 else tuple(found)


def missing_note(done: Sequence[str]) -> list[str]:
    """Return a note on what the sandbox of a child could not do on this system; none where it did all.

    Args:
        done: what ``enter`` returned in the child.

    Example:
        >>> missing_note(["namespaces", "landlock"])
        []
        >>> missing_note(["landlock"])
        ['The sandbox was incomplete: this system gives no network namespace to plain users.']
    """
    lacking = [words for name, words in _MEANS.items() if name not in done]
    return [f"The sandbox was incomplete: this system gives {' and '.join(lacking)}."] if lacking else []


def enter(writable: Sequence[str]) -> tuple[str, ...]:
    """Confine this process; to be called while it has one thread.

    Args:
        writable: folders or files that it may write into.

    Returns:
        what was done: some of ``namespaces`` and ``landlock``.
    """
    if not sys.platform.startswith("linux"):
        return ()
    done = ["namespaces"] if _leave_network() else []
    if _restrict_writes([*writable, *_devices()]):
        done.append("landlock")
    return tuple(done)


def _devices() -> list[str]:
    """What in ``/dev`` is opened for writing by a program that computes."""
    with contextlib.suppress(OSError), os.scandir("/dev") as entries:
        return [entry.path for entry in entries if entry.name.startswith(_DEVICES)]
    return []


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _leave_network() -> bool:
    return int(_libc().unshare(_NEW_USER | _NEW_NET)) == 0


def _tried(action: Any) -> bool:
    """True when an action that changes the process for good succeeds in a child."""
    child = os.fork()
    if child == 0:
        os._exit(0 if action() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _version() -> int:
    """The version of Landlock's interface, 0 where there is none."""
    if not sys.platform.startswith("linux") or platform.machine() == "":
        return 0
    return max(
        0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG)))
    )


def _restrict_writes(writable: Sequence[str]) -> bool:
    version = _version()
    if version < 1:
        return False
    libc = _libc()
    handled = sum(rights for since, rights in _WRITES_BY_VERSION.items() if since <= version)
    attribute = struct.pack("=QQ", handled, _TCP) if version >= 4 else struct.pack("=Q", handled)
    ruleset = int(libc.syscall(_CREATE_RULESET, attribute, ctypes.c_size_t(len(attribute)), ctypes.c_uint(0)))
    if ruleset < 0:
        return False
    try:
        for path in writable:
            with contextlib.suppress(OSError):  # a device that this system lacks
                _allow(libc, ruleset, path, handled)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return int(libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))) == 0
    finally:
        os.close(ruleset)


def _allow(libc: Any, ruleset: int, path: str, handled: int) -> None:
    """Allows writing beneath a folder, or into one file."""
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = handled if os.path.isdir(path) else handled & _FILE_WRITES  # noqa: PTH112 - pathlib costs start-up time
        rule = struct.pack("=Qi", rights, place)
        libc.syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_BENEATH), rule, ctypes.c_uint(0))
    finally:
        os.close(place)

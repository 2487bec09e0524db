"""How every child process of this package starts, and in which words its end is described.

A child finds this package first, then the standard library, then the folders of the parent's ``sys.path``.
The folder that the command was typed in and the folder of the user's script belong to these only for a child
that runs code which the user named (``module:function``): a ``numpy.py`` or ``tensorflow.py`` that lies
there by chance is not ours to run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

# The parent's folders come last: a struct.py beside a user's script must not stand in for the library's.
_START: Final = (
    "import sys; n = int(sys.argv[1]) + 2; places = sys.argv[2:n]; program, settings = sys.argv[n:n + 2]; "
    "del sys.argv[1:n + 2]; "
    "sys.path[:0] = [p for p in places[:1] if p not in sys.path]; "
    "sys.path += [p for p in places if p not in sys.path]; "
    "from tightfit.runtime.child.confinement import start; start(program, settings)"
)
MOST_WORKERS: Final = 4
"""Sessions that share the samples of one pass at most."""

_fixed_workers = 0

_CRASHES: Final = ("SIGABRT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL")
_LONGEST_WORDS: Final = 160


@dataclass(frozen=True)
class Confinement:
    """What a child process may use.

    Args:
        memory_bytes: data that it may allocate, None for no limit.
        sandbox: True takes the network away and makes every folder but ``writable`` read-only, where the
            system can do that.
        writable: folders that it may write into.
        dies_with_parent: True ends it when the thread that starts it ends; set for the main thread.
    """

    memory_bytes: int | None = None
    sandbox: bool = False
    writable: tuple[str, ...] = ()
    dies_with_parent: bool = False


@dataclass(frozen=True)
class Interpreter:
    """Another Python than this one, which runs a child.

    Args:
        words: the command.
        places: folders with modules, the one with this package first.
    """

    words: tuple[str, ...]
    places: tuple[str, ...]


def command(
    program: str,
    arguments: Sequence[str],
    confinement: Confinement,
    *,
    own_code: bool = False,
    interpreter: Interpreter | None = None,
) -> list[str]:
    """Return the command line of a child process.

    Args:
        program: a module of this package with a function ``main``, or ``-m MODULE`` for another's.
        arguments: what the child finds in ``sys.argv[1:]``.
        confinement: what it may use.
        own_code: True where it runs code that the user named.
        interpreter: the Python that runs it; None for this one.
    """
    if interpreter is not None:
        inner = _words(interpreter, program, Confinement(), arguments)
        return command("tightfit.runtime.child.execute", inner, confinement)
    python = Interpreter((sys.executable,), tuple(module_folders(own_code=own_code)))
    return _words(python, program, confinement, arguments)


def _words(
    python: Interpreter, program: str, confinement: Confinement, arguments: Sequence[str]
) -> list[str]:
    settings = json.dumps(asdict(confinement) | {"parent": os.getpid()})
    start = [*python.words, "-P", "-c", _START, str(len(python.places)), *python.places]
    return [*start, program, settings, *arguments]


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a child process: the parent's, without a search path of modules."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | dict(changes)


def module_folders(*, own_code: bool = False) -> list[str]:
    """Return where a child looks for modules: this package's root, then where the parent looks."""
    root = str(Path(__file__).resolve().parents[3])
    folders = [str(Path(place).resolve()) for place in sys.path if place or own_code]
    if not own_code:
        unnamed = unnamed_folders()
        folders = [place for place in folders if place not in unnamed or place == root]
    return list(dict.fromkeys([root, *folders]))


def unnamed_folders() -> set[str]:
    """Return the folders that Python itself put on ``sys.path``: the current one, and the script's."""
    found = set()
    with contextlib.suppress(OSError):  # it was removed
        found.add(str(Path.cwd().resolve()))
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script and not sys.flags.safe_path:
        found.add(str(Path(script).resolve().parent))
    return found


def from_main_thread() -> bool:
    """Return True on the main thread, whose end is the end of the process."""
    return threading.current_thread() is threading.main_thread()


def describe_exit(code: int | None) -> str:
    """Return in words how a process with this return code ended.

    Example:
        >>> describe_exit(-6), describe_exit(3)
        ('died with SIGABRT', 'ended with code 3')
    """
    if code is None:
        return "closed its pipe but did not end"
    if code >= 0:
        return f"ended with code {code}"
    name = signal_name(code)
    return f"died with {name}" + (" (often: out of memory)" if name == "SIGKILL" else "")


def has_crashed(code: int | None) -> bool:
    """Return True when a fault of the code that ran ended the process, not a lack of memory or of time."""
    return signal_name(code) in _CRASHES


def signal_name(code: int | None) -> str:
    """Return the name of the signal that ended a process, "" when none did."""
    if code is None or code >= 0:
        return ""
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal has a number only
        return f"signal {-code}"


def run_tool(command: Sequence[str], timeout_s: float, folder: Path | None = None) -> tuple[int, str]:
    """Return the exit code of a program and all that it printed.

    Args:
        command: what ``command`` returns, or the words of another program.
        timeout_s: the longest time it may take.
        folder: where it works; by default the folder of this process.

    Raises:
        subprocess.TimeoutExpired: it does not end in time.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout_s,
        env=environment({}),
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def last_line(text: str, skipped: tuple[str, ...] = ()) -> str:
    r"""Return the last line that a process printed, at most 160 characters, without lines that begin so.

    Example:
        >>> last_line("first\nINFO: done\n", ("INFO:",))
        'first'
    """
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith(skipped)]
    return kept[-1][:_LONGEST_WORDS] if kept else ""


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count() -> int:
    """Return how many sessions share the samples of one pass: one a core, at most ``MOST_WORKERS``.

    A worker of a cluster takes as many as its driver: sums are merged in the same order then.
    """
    return _fixed_workers or min(cores(), MOST_WORKERS)


def fix_worker_count(count: int) -> None:
    """Set what ``worker_count`` returns in this process.

    Args:
        count: number of sessions, at least 1.
    """
    global _fixed_workers  # noqa: PLW0603 - set once, when a worker of a cluster begins
    _fixed_workers = count

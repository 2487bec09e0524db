"""What a whole process costs: its wall time from start to exit, or the memory of it and all its children.

The two are never measured in one run: looking at memory takes time from the process.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peers

_LOOK_EVERY_S = 0.02
_LOOK_AT_PEAK_S = 0.003
_LOOKS_A_MAP = 40


@dataclass(frozen=True)
class Timed:
    """A run's wall time and processor time from start to exit, and what its script answered."""

    seconds: float
    cpu_seconds: float
    answer: dict[str, Any]


@dataclass
class Memory:
    """The most memory that a process and its children held.

    Args:
        resident: process id → its own high-water mark of resident bytes (the kernel's), with the pages of
            mapped files that it touched.
        anonymous_bytes: the most that all of them held at once outside of files, seen every 20 ms.
    """

    resident: dict[int, int] = field(default_factory=dict)
    anonymous_bytes: int = 0

    @property
    def resident_bytes(self) -> int:
        """The sum over the processes: an upper bound, for their peaks need not fall together."""
        return sum(self.resident.values())


def run_timed(command: list[str], request: dict[str, Any]) -> Timed:
    """Runs a script with ``request`` on stdin and times it.

    Raises:
        peers.PeerError: it failed.
    """
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    _refuse_failure(command, done.returncode, done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timed(seconds, cpu, peers.answer(done.stdout))


def run_watched(command: list[str], request: dict[str, Any]) -> Memory:
    """Runs a script with ``request`` on stdin and watches its memory (Linux only).

    ``ru_maxrss`` would not do: Linux hands the parent's own peak on to a child through ``exec``.

    Raises:
        peers.PeerError: it failed, or this is not Linux.
    """
    if not Path("/proc/self/status").exists():
        raise peers.PeerError("Memory is read from /proc, which this system does not have. Run it on Linux.")
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    memory = Memory()
    watcher = threading.Thread(target=_watch, args=(process, memory))
    watcher.start()
    _, stderr = process.communicate(json.dumps(request))
    watcher.join()
    _refuse_failure(command, process.returncode, stderr)
    return memory


def peak_of(command: list[str], text: str = "") -> int:
    """Gives the most bytes that a command's processes hold together (Linux only).

    Pages of their own count by proportional set size. Pages of a mapped file count once, as the most that one
    of them holds: their proportional share depends on the other programs of the machine.

    Args:
        text: what it reads from stdin.

    Raises:
        peers.PeerError: it failed.
    """
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as said:
        given.write(text)
        given.seek(0)
        process = subprocess.Popen(command, stdin=given, stdout=subprocess.DEVNULL, stderr=said)
        most = files = looks = 0
        while process.poll() is None:
            pids = _own_family(process.pid)
            if looks % _LOOKS_A_MAP == 0:  # reading the maps takes milliseconds, and they change slowly
                files = _mapped_bytes(pids)
            most, looks = max(most, files + sum(map(_private_bytes, pids))), looks + 1
            time.sleep(_LOOK_AT_PEAK_S)
        said.seek(0)
        _refuse_failure(command, process.returncode, said.read())
    return most


def _own_family(pid: int) -> list[int]:
    """A process and its descendants; one that has not begun its own program shares its parent's."""
    first, *others = _family(pid)
    words = _words(first)
    return [first, *(p for p in others if _words(p) != words)]


def _private_bytes(pid: int) -> int:
    """The share of a process in pages that belong to no file, bytes."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it ended
        return 0
    return 1024 * sum(map(int, re.findall(r"^Pss_(?:Anon|Shmem): +(\d+)", rollup, re.MULTILINE)))


def _mapped_bytes(pids: list[int]) -> int:
    """The bytes of all mapped files that processes hold together: of each file the most that one holds."""
    files = dict[str, int]()
    for pid in pids:
        try:
            maps = Path(f"/proc/{pid}/smaps").read_text(errors="replace")
        except OSError:  # it ended
            continue
        for file, held in _file_bytes(maps).items():
            files[file] = max(files.get(file, 0), held)
    return sum(files.values())


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended
        return b""


def _file_bytes(maps: str) -> Counter[str]:
    """The bytes of each mapped file's pages, by its device and inode, from the text of ``smaps``."""
    found = Counter[str]()
    for file, text in re.findall(r"^[0-9a-f]+-\S+ \S+ \S+ (\S+ \d+).*\n((?:[A-Z].*\n)+)", maps, re.MULTILINE):
        sizes = dict(re.findall(r"^(Rss|Anonymous): +(\d+)", text, re.MULTILINE))
        if not file.endswith(" 0"):
            found[file] += 1024 * (int(sizes["Rss"]) - int(sizes["Anonymous"]))
    return found


def _refuse_failure(command: list[str], code: int, stderr: str) -> None:
    if code:
        tail = "\n".join(stderr.strip().splitlines()[-8:])
        raise peers.PeerError(f"{Path(command[-1]).name} exited with {code}:\n{tail}")


def _watch(process: subprocess.Popen[str], memory: Memory) -> None:
    while process.poll() is None:
        anonymous = 0
        for pid in _family(process.pid):
            status = _status(pid)
            memory.resident[pid] = max(memory.resident.get(pid, 0), status.get("VmHWM", 0))
            anonymous += status.get("RssAnon", 0)
        memory.anonymous_bytes = max(memory.anonymous_bytes, anonymous)
        time.sleep(_LOOK_EVERY_S)


def _family(pid: int) -> list[int]:
    """The process and all that descend from it, whichever of its threads started them."""
    found, queue = [], [pid]
    while queue:
        pid = queue.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                queue.extend(int(child) for child in children.read_text().split())
            except OSError:  # it ended since the folder was listed
                continue
    return found


def _status(pid: int) -> dict[str, int]:
    """The byte counts of ``/proc/<pid>/status``; none for a process that ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in fields}

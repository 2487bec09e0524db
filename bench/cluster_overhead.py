"""Prints the processor time of the same search in one process and on raylets, interleaved, and what differs.

    bench/cluster_overhead.py --rounds 3
    bench/cluster_overhead.py --rounds 1 --model demo --model images --model text --recipe int8+gptq

The choice, the files and all measurements but latency are compared. Processor time is that of all processes
of a run, read every 0.2 s from /proc, by what they are: the driver, workers, Ray's daemons (GCS, raylets,
agents, log monitor) and LiteRT's processes. The bar of 10 % is for tasks of a second and more: their share of
the tasks' time stands beside it. What the cluster takes to start, before any search, is printed first; it is
no part of the overhead.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cluster_models import NAMES, case
from machine import describe_machine
from raylets import MARK, Raylets

RECIPES = ("float16", "int8", "int8+gptq", "int16x8", "int16x8+gptq", "int8+equalization", "int8+ranges")
TICK = os.sysconf("SC_CLK_TCK")


class Meter:
    """The processor time of all processes whose environment has a mark, while the block runs."""

    def __init__(self, mark: str) -> None:
        self.mark, self.seen, self.first = mark.encode(), dict[int, int](), dict[int, int]()
        self.kinds = dict[int, str]()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self.first = dict(self.seen)
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended.set()
        self.thread.join()

    def seconds(self) -> float:
        """Return the seconds since the block began."""
        return sum(ticks - self.first.get(pid, 0) for pid, ticks in self.seen.items()) / TICK

    def by_kind(self) -> dict[str, float]:
        """Return kind of process → its seconds since the block began."""
        found = Counter[str]()
        for pid, ticks in self.seen.items():
            found[self.kinds[pid]] += (ticks - self.first.get(pid, 0)) / TICK
        return dict(found)

    def _watch(self) -> None:
        while not self.ended.wait(0.2):
            self._look()
        self._look()

    def _look(self) -> None:
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if self.mark not in (entry / "environ").read_bytes():
                    continue
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            self.kinds[int(entry.name)] = kind_of(words)
            self.seen[int(entry.name)] = int(fields[11]) + int(fields[12])


def kind_of(words: str) -> str:
    """Return what a process is, by its command line."""
    if "--search" in words:
        return "driver"
    if "ray::" in words or "default_worker" in words or "setup_worker" in words:
        return "workers"
    return "LiteRT" if "tightfit" in words else "daemons"


@dataclass(frozen=True)
class Searched:
    """A search in a process of its own: its processor time, its tasks, and what must be equal."""

    cpu_seconds: float
    by_kind: dict[str, float]
    tasks: list[dict[str, Any]]
    found: dict[str, Any]


def searched(mark: str, cluster: str | None, asked: dict[str, Any]) -> Searched:
    """Run a search in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, __file__, "--search", json.dumps(asked | {"folder": folder})]
        words += ["--address", cluster] if cluster else []
        with Meter(mark) as meter:
            subprocess.run(words, check=True, env={**os.environ, MARK: mark}, stderr=subprocess.DEVNULL)
        tasks = Path(folder) / "tasks.json"
        known = json.loads(tasks.read_text())["tasks"] if tasks.is_file() else []
        return Searched(
            meter.seconds(), meter.by_kind(), known, json.loads((Path(folder) / "found.json").read_text())
        )


def search(asked: dict[str, Any], address: str | None) -> None:
    """Run the search in this process and write what must be equal."""
    from tightfit.api.optimize import optimize  # noqa: PLC0415 - in the process that is measured only

    folder = Path(asked["folder"])
    report = optimize(
        asked["model"], asked["data"], folder, only=asked["recipes"], evaluation=asked["samples"],
        max_size=asked["max_size"], cluster=address,
    )  # fmt: skip
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (folder / "candidates").iterdir()}
    measured = {
        c.name: repr((c.accuracy, c.drop, c.agreement, c.snr_db, c.failure)) for c in report.candidates
    }
    found = {"best": report.best, "files": files, "measured": measured}
    (folder / "found.json").write_text(json.dumps(found))


def compared(name: str, raylets: Raylets, asked: dict[str, Any]) -> tuple[float, bool]:
    """Return the overhead of a search on raylets, and whether it found the same."""
    alone = searched(uuid.uuid4().hex, None, asked)
    there = searched(raylets.mark, raylets.address, asked)
    seconds = [task["seconds"] for task in there.tasks]
    long = sum(s for s in seconds if s >= 1) / max(sum(seconds), 1e-9)
    ratio, equal = there.cpu_seconds / alone.cpu_seconds, there.found == alone.found
    print(
        f"{name}: one process {alone.cpu_seconds:.1f} s, raylets {there.cpu_seconds:.1f} s, "
        f"{ratio - 1:+.0%}; "
        f"{len(seconds)} tasks, {long:.0%} of their time in tasks of 1 s and more; choice "
        f"{alone.found['best']}, choice and {len(alone.found['files'])} files equal: {equal}",
        flush=True,
    )
    for what, found in (("one process", alone), ("raylets", there)):
        parts = sorted(found.by_kind.items(), key=lambda part: -part[1])
        print(f"  {what}: " + ", ".join(f"{kind} {took:.1f} s" for kind, took in parts), flush=True)
    if not equal:
        print({k: (alone.found[k], there.found[k]) for k in alone.found if alone.found[k] != there.found[k]})
    return ratio, equal


def main() -> None:
    """Interleave the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--model", action="append", choices=NAMES)
    parser.add_argument("--recipe", action="append")
    parser.add_argument("--search", help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search is not None:
        search(json.loads(options.search), options.address)
        return
    print(describe_machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        cases = {name: case(name, Path(folder)) for name in options.model or ["demo"]}
        raylets, found = Raylets(options.workers - 1), []
        with Meter(raylets.mark) as started:
            pass
        print(
            f"start of the cluster: {sum(started.seen.values()) / TICK:.1f} s of processor time", flush=True
        )
        try:
            for number in range(options.rounds):
                for name, each in cases.items():
                    asked = {k: str(v) if isinstance(v, Path) else v for k, v in vars(each).items()}
                    asked |= {"recipes": options.recipe or RECIPES, "samples": options.samples}
                    found.append(compared(f"round {number + 1}, {name}", raylets, asked))
        finally:
            raylets.close()
    print(f"median overhead {statistics.median(ratio for ratio, _ in found) - 1:+.0%}; ", end="")
    print(f"{sum(equal for _, equal in found)} of {len(found)} searches equal to one process")
    raise SystemExit(not all(equal for _, equal in found))


if __name__ == "__main__":
    main()

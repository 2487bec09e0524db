"""Prints the processor time of the same search in one process and on raylets, interleaved.

    bench/cluster_overhead.py --rounds 3

Processor time is that of all processes of a run, read every 0.2 s from /proc. Ray's own is that of its
daemons (GCS, raylets, agents), of starting workers and of moving files. The bar of 10 % is for tasks of a
second and more: their share of the tasks' time stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Any, Self

from machine import describe_machine
from raylets import MARK, Raylets

NAMES = ("float16", "int8", "int8+gptq", "int16x8", "int16x8+gptq", "int8+equalization", "int8+ranges")
TICK = os.sysconf("SC_CLK_TCK")


class Meter:
    """The processor time of all processes whose environment has a mark, while the block runs."""

    def __init__(self, mark: str) -> None:
        self.mark, self.seen, self.first = mark.encode(), dict[int, int](), dict[int, int]()
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
            except OSError:
                continue
            self.seen[int(entry.name)] = int(fields[11]) + int(fields[12])


def searched(mark: str, cluster: str | None, samples: int) -> tuple[float, dict[str, Any]]:
    """Return the processor time of a search in a process of its own, and its tasks."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, __file__, "--search", folder, "--samples", str(samples)]
        words += ["--address", cluster] if cluster else []
        with Meter(mark) as meter:
            subprocess.run(words, check=True, env={**os.environ, MARK: mark}, stderr=subprocess.DEVNULL)
        tasks = Path(folder) / "tasks.json"
        return meter.seconds(), json.loads(tasks.read_text()) if tasks.is_file() else {"tasks": []}


def search(folder: str, address: str | None, samples: int) -> None:
    """Run the search in this process."""
    from tightfit.api.optimize import optimize  # noqa: PLC0415 - in the process that is measured only
    from tightfit.demo import MODEL  # noqa: PLC0415 - as above
    from tightfit.search.job import Job  # noqa: PLC0415 - as above

    job = Job(MODEL, "tightfit.demo:evaluation", Path(folder), recipes=NAMES, evaluation=samples)
    optimize(job, cluster=address)


def main() -> None:
    """Interleave the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--search", help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search is not None:
        search(options.search, options.address, options.samples)
        return
    print(describe_machine(), flush=True)
    raylets = Raylets(options.workers - 1)
    ratios = []
    try:
        for number in range(options.rounds):
            alone, _ = searched(uuid.uuid4().hex, None, options.samples)
            there, script = searched(raylets.mark, raylets.address, options.samples)
            ratios.append(there / alone)
            seconds = [task["seconds"] for task in script["tasks"]]
            long = sum(s for s in seconds if s >= 1) / max(sum(seconds), 1e-9)
            print(
                f"round {number + 1}: one process {alone:.1f} s, {options.workers} raylets {there:.1f} s, "
                f"{there / alone - 1:+.0%}; {len(seconds)} tasks, "
                f"{long:.0%} of their time in tasks of 1 s and more",
                flush=True,
            )
    finally:
        raylets.close()
    print(f"median overhead {statistics.median(ratios) - 1:+.0%}")


if __name__ == "__main__":
    main()

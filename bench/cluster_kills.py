"""Kills raylets at random moments of searches, and prints how many end with the uninterrupted result.

    bench/cluster_kills.py --kills 20 --state kills.json --minutes 12

Each search of the demo model runs in a process of its own, on four raylets beside a head without
processors. At a random moment of it a raylet is killed with SIGKILL, one that runs a task where there is one;
another node is started after the search. The files, the choice and all measurements but latency are compared
with those of one process. What lives 60 s after the search process has ended, and is no daemon or waiting
worker of a raylet that lives, is an orphan; workers that Ray started and that never had a task
(``ray::IDLE``) are counted apart. The same command goes on where ``--minutes`` ended it. Only the set-up is
tried again where Ray cannot start a node in time.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe_machine
from raylets import Raylets
from tightfit.files import atomic_file

CANDIDATES = ("float16", "int8+gptq")
GRACE_S = 60.0
_SET_UPS = 4


def search(folder: Path, address: str | None) -> None:
    """Run the search in this process and write what must be equal: choice, files, measurements.

    The choice does not depend on latency: only one file is small enough.
    """
    from tightfit.api.optimize import optimize  # noqa: PLC0415 - in the process of the search only
    from tightfit.demo import MODEL  # noqa: PLC0415 - as above
    from tightfit.search.job import Job  # noqa: PLC0415 - as above
    from tightfit.search.verdict.budget import Budget  # noqa: PLC0415 - as above

    limits, data = Budget(max_size=250_000), "tightfit.demo:evaluation"
    job = Job(MODEL, data, folder, budget=limits, recipes=CANDIDATES, calibration=20, evaluation=60)
    report = optimize(job, cluster=address)
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (folder / "candidates").iterdir()}
    measured = {
        c.name: repr((c.accuracy, c.drop, c.agreement, c.snr_db, c.failure)) for c in report.candidates
    }
    found = {"best": report.best, "files": files, "measured": measured, "ending": report.ending}
    (folder / "found.json").write_text(json.dumps(found))


class Searching:
    """A search in a process of its own.

    Args:
        address: of the cluster; None for one process.
    """

    def __init__(self, address: str | None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        words = [sys.executable, __file__, "--search", self.folder.name]
        words += [] if address is None else ["--address", address]
        self.start = time.monotonic()
        self.process = subprocess.Popen(words, stderr=subprocess.DEVNULL)

    def runs(self) -> bool:
        """Return whether it has not ended."""
        return self.process.poll() is None

    def result(self) -> tuple[dict[str, Any] | None, float]:
        """Wait for the end; return what was found, None where it failed, and its seconds."""
        self.process.wait()
        took, place = time.monotonic() - self.start, Path(self.folder.name) / "found.json"
        found = json.loads(place.read_text()) if place.is_file() else None
        self.folder.cleanup()
        return found, took


class Cluster:
    """Four raylets; the set-up is tried again where Ray gives up on a node that starts slowly."""

    def __init__(self) -> None:
        self.raylets = self._anew()

    def replace(self) -> None:
        """Start a node for each that was killed, or the cluster anew."""
        try:
            self.raylets.replace()
        except Exception as error:  # noqa: BLE001 - Ray raises no other class
            print(f"the cluster is started anew: {error}", flush=True)
            self.close()
            self.raylets = self._anew()

    def close(self) -> None:
        """End the cluster."""
        with contextlib.suppress(Exception):  # a node of it may be half started
            self.raylets.close()

    @staticmethod
    def _anew() -> Raylets:
        for tried in range(_SET_UPS):
            try:
                return Raylets(4, head_cpus=0)
            except Exception:  # as above
                if tried == _SET_UPS - 1:
                    raise
        raise AssertionError


def is_idle(words: str) -> bool:
    """Return whether a process is a worker of Ray that waits for a first task."""
    return words.startswith("ray::IDLE")


def remaining(raylets: Raylets) -> list[str]:
    """Return the processes that are left; a worker that was being started ends once it has no raylet."""
    end = time.monotonic() + GRACE_S
    while (left := raylets.orphans()) and time.monotonic() < end:
        time.sleep(1.0)
    return left


def killed(cluster: Cluster, took: float, dice: random.Random) -> dict[str, Any]:
    """Return what a search finds during which a raylet is killed, and what is left of it."""
    raylets, after = cluster.raylets, dice.uniform(0.1, 0.9) * took
    searching = Searching(raylets.address)
    while searching.runs() and time.monotonic() - searching.start < after:
        time.sleep(0.05)
    hit, busy = searching.runs(), raylets.busy()
    raylets.kill(dice.choice(busy or range(len(raylets.nodes))))
    found, seconds = searching.result()
    left = remaining(raylets)
    return {
        "after": after,
        "hit": hit,
        "busy": bool(busy),
        "found": found,
        "seconds": seconds,
        "orphans": left,
    }


def told(number: int, row: dict[str, Any], expected: Any) -> str:
    """One kill as a line."""
    ran = "ended" if not row["hit"] else "running, its task" if row["busy"] else "running"
    idle = sum(map(is_idle, row["orphans"]))
    return (
        f"kill {number:2} at {row['after']:5.1f} s of {row['seconds']:5.1f} s ({ran}): "
        f"equal {row['found'] == expected}, orphans {len(row['orphans']) - idle}, idle workers of Ray {idle}"
    )


def run(state: dict[str, Any], options: argparse.Namespace, keep: Any) -> None:
    """Run searches until all kills are done, or the minutes are over."""
    end = time.monotonic() + options.minutes * 60
    if "expected" not in state:
        state["expected"], seconds = Searching(None).result()
        print(f"one process: {seconds:.0f} s", flush=True)
    cluster = Cluster()
    try:
        whole, took = Searching(cluster.raylets.address).result()
        state["whole"] = [*state.get("whole", []), whole == state["expected"]]
        print(
            f"uninterrupted on 4 raylets: {took:.0f} s, equal to one process: {state['whole'][-1]}",
            flush=True,
        )
        while len(state["rows"]) < options.kills and time.monotonic() + 1.5 * took < end:
            number = len(state["rows"]) + 1
            dice = random.Random(f"{options.seed}/{number}")  # noqa: S311 - moments, no secrets
            state["rows"].append(killed(cluster, took, dice))
            print(told(number, state["rows"][-1], state["expected"]), flush=True)
            for words in state["rows"][-1]["orphans"]:
                print(f"  left: {words[:200]}", flush=True)
            keep(state)
            cluster.replace()
    finally:
        cluster.close()


def main() -> None:
    """Run the searches, from where an earlier run ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=600.0, help="end after so many")
    parser.add_argument("--state", type=Path, help="file that the same command goes on from")
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search is not None:
        search(options.search, options.address)
        return
    print(describe_machine(), flush=True)
    state: dict[str, Any] = {"rows": []}
    if options.state is not None and options.state.is_file():
        state = json.loads(options.state.read_text())

    def keep(now: dict[str, Any]) -> None:
        if options.state is not None:
            with atomic_file(options.state) as file:
                file.write(json.dumps(now).encode())

    run(state, options, keep)
    rows = state["rows"]
    equal = sum(row["found"] == state["expected"] for row in rows)
    left = [words for row in rows for words in row["orphans"]]
    idle = sum(map(is_idle, left))
    print(f"{len(rows)} searches, {sum(r['hit'] for r in rows)} killed while running", end=" ")
    print(f"({sum(r['hit'] and r['busy'] for r in rows)} the raylet of a task):", end=" ")
    print(f"{equal} equal to one process, {len(left) - idle} orphans, {idle} idle workers of Ray", flush=True)
    raise SystemExit(equal != options.kills or len(left) > idle)


if __name__ == "__main__":
    main()

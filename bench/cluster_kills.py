"""Kills raylets at random moments of searches, and prints how many end with the uninterrupted result.

    bench/cluster_kills.py --kills 20

Each search of the demo model runs on four raylets. At a random moment of it a raylet is killed with SIGKILL;
another node is started after the search. The files, the choice and all measurements but latency are compared
with those of one process; what is left of the search's processes afterwards is an orphan.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from machine import describe_machine
from raylets import Raylets
from tightfit.api.optimize import optimize
from tightfit.demo import MODEL
from tightfit.search.job import Job
from tightfit.search.verdict.budget import Budget

CANDIDATES = ("float16", "int8", "int8+gptq")
GRACE_S = 60.0


def job(folder: Path) -> Job:
    """Return a search whose choice does not depend on latency: only one file is small enough."""
    data = "tightfit.demo:evaluation"
    limits = Budget(max_size=250_000)
    return Job(MODEL, data, folder, budget=limits, recipes=CANDIDATES, calibration=20, evaluation=60)


def result(folder: Path, report: Any) -> dict[str, Any]:
    """Return what must be equal: the choice, the files and what was measured on them."""
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (folder / "candidates").iterdir()}
    measured = {c.name: (c.accuracy, c.drop, c.agreement, c.snr_db, c.failure) for c in report.candidates}
    return {"best": report.best, "files": files, "measured": measured, "finished": report.finished}


def interrupted(raylets: Raylets, folder: Path, after: float, number: int) -> tuple[dict[str, Any], bool]:
    """Return the result of a search during which a raylet is killed, and whether it still ran then."""
    running = threading.Event()
    running.set()
    hit = []

    def kill() -> None:
        time.sleep(after)
        hit.append(running.is_set())
        raylets.kill(number)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = result(folder, optimize(job(folder), cluster=raylets.address))
    finally:
        running.clear()
        killer.join()
    return found, hit[0]


def remaining(raylets: Raylets) -> list[str]:
    """Return the processes that are left; a worker that was being started ends once it has no raylet."""
    end = time.monotonic() + GRACE_S
    while (left := raylets.orphans()) and time.monotonic() < end:
        time.sleep(1.0)
    return left


def main() -> None:
    """Run the searches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe_machine())
    dice = random.Random(options.seed)  # noqa: S311 - moments, no secrets
    with tempfile.TemporaryDirectory() as base:
        expected = result(Path(base) / "alone", optimize(job(Path(base) / "alone")))
        raylets = Raylets(3)
        try:
            start = time.monotonic()
            whole = result(Path(base) / "whole", optimize(job(Path(base) / "whole"), cluster=raylets.address))
            took = time.monotonic() - start
            print(
                f"uninterrupted on 4 raylets: {took:.0f} s, equal to one process: {whole == expected}",
                flush=True,
            )
            equal = orphans = during = 0
            for kill in range(options.kills):
                folder, after = Path(base) / str(kill), dice.uniform(0.1, 0.9) * took
                found, hit = interrupted(raylets, folder, after, dice.randrange(len(raylets.nodes)))
                left = remaining(raylets)
                raylets.replace()
                equal, during, orphans = equal + (found == expected), during + hit, orphans + len(left)
                print(
                    f"kill {kill + 1:2} at {after:5.1f} s: equal {found == expected}, orphans {len(left)}",
                    flush=True,
                )
        finally:
            raylets.close()
    print(f"{options.kills} searches, {during} killed while running: {equal} equal, {orphans} orphans")
    raise SystemExit(equal != options.kills or orphans)


if __name__ == "__main__":
    main()

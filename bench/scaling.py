"""Prints how far a search on a cluster scales: a recorded search replayed for more workers.

    bench/scaling.py --record 2 --check 1          # record with 2 raylets, and predict a real run with 1
    bench/scaling.py --script OUT/tasks.json       # replay a search of your own, from its output folder

The replay is ``replay.py``. With ``--check`` the prediction is compared with a real run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from machine import describe_machine
from replay import Machine, Replay, alone, measured_machine, measured_spread

WORKERS = (1, 2, 8, 64, 512)
DRAWS = 9
NAMES = ("float16", "weight8", "dynamic", "int8", "int16x8", "int8+gptq", "weight8+gptq", "int16x8+gptq")


def recorded(workers: int, samples: int) -> dict[str, Any]:
    """Return the script of a search of the demo model on raylets of one processor each."""
    from raylets import Raylets  # noqa: PLC0415 - needs the extra 'ray'
    from tightfit.api.optimize import optimize  # noqa: PLC0415 - as above
    from tightfit.demo import MODEL  # noqa: PLC0415 - as above
    from tightfit.runtime.child.process import cores  # noqa: PLC0415 - as above
    from tightfit.search.job import Job  # noqa: PLC0415 - as above
    from tightfit.search.verdict.budget import Budget  # noqa: PLC0415 - as above

    cluster = Raylets(workers - 1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            limits, data = Budget(max_size=250_000), "tightfit.demo:evaluation"
            job = Job(MODEL, data, Path(folder), budget=limits, recipes=NAMES, evaluation=samples)
            optimize(job, cluster=cluster.address)
            script: dict[str, Any] = json.loads((Path(folder) / "tasks.json").read_text())
            return script | {"workers": workers, "cores": cores()}
    finally:
        cluster.close()


def store_bandwidth() -> float:
    """Return bytes a second of a copy through memory, the most that one node's object store gives."""
    block = bytes(64 << 20)
    start = time.perf_counter()
    for _ in range(4):
        bytearray(block)
    return 4 * len(block) / (time.perf_counter() - start)


def predicted(script: dict[str, Any], machine: Machine) -> tuple[float, float]:
    """Return the median time over several draws of stragglers, and the share of it that workers are busy."""
    spread = measured_spread(script["tasks"])
    runs = []
    for seed in range(DRAWS):
        replay = Replay(script, machine, spread, seed)
        took = replay.seconds()
        runs.append((took, replay.busy / (took * machine.workers)))
    runs.sort()
    return runs[len(runs) // 2]


def table(script: dict[str, Any], bandwidth: float) -> None:
    """Print the time for each number of workers."""
    base = None
    print(f"{'workers':>8} {'seconds':>9} {'speed-up':>9} {'busy':>6}")
    for workers in WORKERS:
        machine = measured_machine(script, workers, bandwidth)
        took, busy = predicted(script, machine)
        base = base or took
        print(f"{workers:8} {took:9.1f} {base / took:9.2f} {100 * busy:5.0f}%")
    work = sum(task["seconds"] for task in script["tasks"])
    longest = max(script["tasks"], key=lambda task: task["seconds"])
    alone = sum(t["seconds"] for t in script["tasks"] if t["task"].startswith("latency"))
    print(
        f"work of all tasks {work:.1f} s; the longest is {longest['task']} with {longest['seconds']:.1f} s;"
    )
    print(f"latency takes {alone:.1f} s, one job after another, whatever the number of workers")


def main() -> None:
    """Record or read a script, replay it, and check it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--script", type=Path, help="tasks.json of a search on a cluster")
    parser.add_argument("--record", type=int, help="record a search of the demo on so many raylets")
    parser.add_argument("--keep", type=Path, help="write what was recorded, for --script")
    parser.add_argument("--check", type=int, action="append", default=[], help="compare with a real run")
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument(
        "--runs", type=int, default=1, help="recordings and checks, in turn; their median counts"
    )
    parser.add_argument("--bandwidth", type=float, help="bytes a second of the driver's link")
    options = parser.parse_args()
    print(describe_machine(), flush=True)
    bandwidth = options.bandwidth or store_bandwidth()
    print(f"link to the object store: {bandwidth / 1e9:.2f} GB/s")
    ratios = defaultdict[int, list[float]](list)
    for number in range(options.runs):
        script, contention = given(options)
        if not number:
            table(script, bandwidth)
        for workers in options.check:
            guess = predicted(script, measured_machine(script, workers, bandwidth, contention))[0]
            real = recorded(workers, options.samples)["seconds"]
            ratios[workers].append(guess / real)
            print(f"check: {workers} workers predicted {guess:.1f} s, real {real:.1f} s", end=" ")
            print(f"({guess / real - 1:+.0%})", flush=True)
    for workers, found in ratios.items():
        middle = statistics.median(found) - 1
        print(f"{workers} workers: median of {options.runs} predictions {middle:+.0%} from the real run")


def given(options: argparse.Namespace) -> tuple[dict[str, Any], float]:
    """Return the script to replay, and the contention of the machine where it was recorded."""
    if options.script is not None:
        script = json.loads(options.script.read_text())
    else:
        script = recorded(options.record or 2, options.samples)
        if options.keep is not None:
            options.keep.write_text(json.dumps(script))
        print(f"recorded: {script['seconds']:.1f} s with {script['workers']} workers", flush=True)
    if "cores" not in script:  # of a cluster of several machines
        return script, 0.0
    script, contention = alone(script, script["cores"])
    print(f"tasks beside each other on {script['cores']} processors take {contention:+.0%} for each")
    return script, contention


if __name__ == "__main__":
    main()

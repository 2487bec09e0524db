"""A discrete simulation of a search on a cluster: the driver's recorded script, replayed with other workers.

``tasks.json`` of a search on a cluster has what its driver did (add, wait, got, drain …) and what each
task took. The replay keeps the order and the driver's own time between its events; tasks run on as many
workers as are asked for, one at a time on each. They take longer or shorter by a factor drawn from the spread
of equal tasks. Workers of one machine share its processors: a task is recorded with what others took from it,
which is taken out, and it is slowed down again by those beside which it runs in the replay. Accuracy is
divided into as many shards as the search would have with so many workers.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_SHARDS = 64
SHARDED = ("shard", "record")
BLOCK = 256
"""Samples of the smallest shard."""

_ALONE = 1.25
"""Tasks that ran on average beside a task, itself included, where it counts as alone."""


@dataclass(frozen=True)
class Machine:
    """A cluster.

    Args:
        workers: processors. bandwidth: bytes a second of the driver's link to the object store.
        model_bytes: what each worker fetches before its first task. start_s: start of a worker process.
        dispatch_s: from submitting a task to its first instruction. shard_s: fixed time of a shard.
        contention: how much longer a task takes for each other one beside it, as a fraction, where all
            workers are on one machine; 0 where each has a machine of its own.
    """

    workers: int
    bandwidth: float
    model_bytes: int
    start_s: float
    dispatch_s: float
    shard_s: float = 0.0
    contention: float = 0.0

    def slowdown(self, running: int) -> float:
        """Return the factor by which tasks take longer beside each other."""
        return 1.0 + self.contention * max(0, running - 1)


@dataclass
class Work:
    """One task: what it takes, and whether the driver waits for it."""

    key: str
    seconds: float
    size: int = 0
    wanted: bool = False
    end: float | None = None
    parts: list[Work] = field(default_factory=list)


class Replay:
    """One replay of a script on a machine.

    Args:
        script: ``tasks.json``. machine: the cluster. spread: factors of equal tasks. seed: of their draw.
    """

    def __init__(
        self, script: dict[str, Any], machine: Machine, spread: Sequence[float] = (1.0,), seed: int = 0
    ) -> None:
        self.machine, self.spread = machine, list(spread)
        self.dice = random.Random(seed)  # noqa: S311 - a simulation
        self.events = merged_shards(script["events"])
        self.facts = total_work(script["tasks"])
        self.blocks = max(1, math.ceil(script["samples"] / BLOCK))
        self.now, self.link_free = 0.0, 0.0
        self.work_done = 0.0  # seconds that a task has advanced since the beginning: slower than the clock
        self.held = False
        self.waiting: list[Work] = []
        self.running: list[tuple[float, int, Work]] = []
        self.idle = list(range(machine.workers))
        self.started: set[int] = set()
        self.busy = 0.0
        self.tasks: dict[str, Work] = {}

    def seconds(self) -> float:
        """Return how long the search takes."""
        last, drained = 0.0, False
        for event in self.events:
            name, key = event["event"], event["task"]
            if name != "got" and not drained:  # the time before these is waiting, not the driver's own
                self._advance(self.now + max(0.0, event["at"] - last))
            last, drained = event["at"], name == "drain"
            getattr(self, f"_{name}")(key, event)
            self._fill()
        return self.now

    def _add(self, key: str, event: dict[str, Any]) -> None:
        if key not in self.facts:
            return  # it was cancelled, or never began
        seconds, size, count = self.facts[key]
        kind = key.partition("/")[0]
        parts = min(self.machine.workers, MOST_SHARDS, self.blocks) if kind in SHARDED else 1
        work = Work(key, seconds, size, event["wanted"])
        fixed = min(self.machine.shard_s, seconds / max(count, 1))
        each = fixed + max(0.0, seconds - count * fixed) / parts
        work.parts = [Work(key, each, size // parts, event["wanted"]) for _ in range(parts)]
        self.tasks[key] = work
        self.waiting += work.parts

    def _wait(self, key: str, event: dict[str, Any]) -> None:
        del event
        for part in self.tasks[key].parts if key in self.tasks else ():
            part.wanted = True

    def _got(self, key: str, event: dict[str, Any]) -> None:
        del event
        parts = self.tasks[key].parts if key in self.tasks else []
        while any(p.end is None or p.end > self.now for p in parts):
            self._fill()
            if not self.running:
                raise RuntimeError(f"{key} never ends")
            self._advance(self._next_end())

    def _cancel(self, key: str, event: dict[str, Any]) -> None:
        del event
        self.waiting = [work for work in self.waiting if work.key != key]

    def _drain(self, key: str, event: dict[str, Any]) -> None:
        del key, event
        self.held = True
        while self.running:
            self._advance(self._next_end())

    def _release(self, key: str, event: dict[str, Any]) -> None:
        del key, event
        self.held = False

    def _advance(self, until: float) -> None:
        """Move the clock, and free the workers that end before."""
        while self.running:
            end = self._next_end()
            if end > until:
                break
            self.work_done, worker, work = heapq.heappop(self.running)
            self.now = work.end = max(self.now, end)
            self.idle.append(worker)
            self._fill()
        if self.running and until > self.now:
            self.work_done += (until - self.now) / self.machine.slowdown(len(self.running))
        self.now = max(self.now, until)

    def _next_end(self) -> float:
        """When the first of the running tasks ends."""
        slow = self.machine.slowdown(len(self.running))
        return self.now + slow * (self.running[0][0] - self.work_done)

    def _fill(self) -> None:
        """Begin what is wanted, then what is expected; latency begins although others are held."""
        self.waiting.sort(key=lambda work: not work.wanted)
        left = []
        for work in self.waiting:
            if self.idle and (not self.held or work.key.startswith("latency")):
                self._start(work, self._worker())
            else:
                left.append(work)
        self.waiting = left

    def _worker(self) -> int:
        """An idle worker, one that has started before where there is one."""
        known = next((worker for worker in self.idle if worker in self.started), self.idle[0])
        self.idle.remove(known)
        return known

    def _start(self, work: Work, worker: int) -> None:
        ready = self.now + self.machine.dispatch_s
        sent = work.size
        if worker not in self.started:
            self.started.add(worker)
            ready += self.machine.start_s
            sent += self.machine.model_bytes
        # One link to the driver: transfers follow one another.
        self.link_free = max(self.link_free, self.now) + sent / self.machine.bandwidth
        took = work.seconds * self.dice.choice(self.spread)
        self.busy += took
        work.end = math.inf
        delay = max(ready, self.link_free) - self.now
        heapq.heappush(self.running, (self.work_done + delay + took, worker, work))


def group_of(key: str) -> str:
    """Return the key of a task without the number of its shard."""
    kind, _, rest = key.partition("/")
    return f"{kind}/{rest.rpartition('/')[0]}" if kind in SHARDED else key


def merged_shards(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events with the shards of an evaluation as one task: the last ``got`` counts."""
    found: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    for event in events:
        own = {**event, "task": group_of(event["task"])}
        mark = (own["event"], own["task"])
        if group_of(event["task"]) == event["task"]:
            found.append(own)
            continue
        if own["event"] == "got":
            found = [e for e in found if (e["event"], e["task"]) != mark]
        elif mark in seen:
            continue
        seen.add(mark)
        found.append(own)
    return found


def total_work(tasks: Sequence[dict[str, Any]]) -> dict[str, tuple[float, int, int]]:
    """Return task → seconds, bytes and number of shards."""
    found: dict[str, tuple[float, int, int]] = {}
    for task in tasks:
        key = group_of(task["task"])
        seconds, size, count = found.get(key, (0.0, 0, 0))
        found[key] = seconds + task["seconds"], size + task["bytes"], count + 1
    return found


def alone(script: dict[str, Any], cores: int) -> tuple[dict[str, Any], float]:
    """Return a script with the times that tasks take without others beside them, and their contention.

    A task advances by the processor time that it gets. Its rate (processor seconds a second) beside n − 1
    others is that of a task alone, divided by 1 + contention · (n − 1). Where no tasks ran beside each other,
    the contention is what the processors lack for two.

    Args:
        script: recorded on one machine.
        cores: its processors.
    """
    tasks = [{**task, "begin": task["at"] - task["seconds"]} for task in script["tasks"]]
    beside = [_mean_running(task, tasks) for task in tasks]
    pairs = list(zip(tasks, beside, strict=True))
    single, together = [t for t, n in pairs if n < _ALONE], [(t, n) for t, n in pairs if n >= _ALONE]
    rate = _rate(single or tasks)
    contention = max(0.0, 2 * rate / cores - 1)
    if single and together:
        weights = sum(t["seconds"] for t, _ in together)
        others = sum(t["seconds"] * (n - 1) for t, n in together) / weights
        contention = max(0.0, (rate / _rate([t for t, _ in together]) - 1) / others)
    freed = [{**t, "seconds": t["seconds"] / (1 + contention * (n - 1))} for t, n in pairs]
    return {**script, "tasks": freed}, contention


def _rate(tasks: Sequence[dict[str, Any]]) -> float:
    """Processor seconds a second."""
    return max(sum(t["cpu_seconds"] for t in tasks), 1e-9) / max(sum(t["seconds"] for t in tasks), 1e-9)


def _mean_running(task: dict[str, Any], tasks: Sequence[dict[str, Any]]) -> float:
    """How many tasks ran during one, itself included, on average over its time."""
    overlaps = (min(task["at"], other["at"]) - max(task["begin"], other["begin"]) for other in tasks)
    return sum(max(0.0, overlap) for overlap in overlaps) / max(task["seconds"], 1e-9)


def measured_machine(
    script: dict[str, Any], workers: int, bandwidth: float, contention: float = 0.0
) -> Machine:
    """Return a machine whose fixed times are those of a recorded search.

    Args:
        script: recorded.
        workers: of the machine.
        bandwidth: of the link to the store, bytes a second.
        contention: see ``Machine``.
    """
    firsts, others, last = list[float](), list[float](), dict[str, float]()
    for task in sorted(script["tasks"], key=lambda task: task["at"]):
        begin, submitted = task["at"] - task["seconds"], task["at"] - task["elapsed"]
        known = last.get(task["worker"])
        (firsts if known is None else others).append(begin - max(submitted, known or 0.0))
        last[task["worker"]] = task["at"]
    dispatch = max(0.0, statistics.median(others)) if others else 0.0
    shards = [t["seconds"] for t in script["tasks"] if t["task"].partition("/")[0] in SHARDED]
    return Machine(
        workers,
        bandwidth,
        script["model_bytes"],
        start_s=max(0.0, min(firsts, default=0.0) - dispatch),
        dispatch_s=dispatch,
        shard_s=min(shards, default=0.0) / 2,
        contention=contention,
    )


def measured_spread(tasks: Sequence[dict[str, Any]]) -> list[float]:
    """Return the factors of tasks that do equal work: shards of one file beside their median."""
    groups = defaultdict(list)
    for task in tasks:
        if task["task"].partition("/")[0] in SHARDED:
            groups[group_of(task["task"])].append(task["seconds"])
    factors = [s / statistics.median(g) for g in groups.values() if len(g) > 1 for s in g[:-1]]
    return factors or [1.0]

"""The driver's list of tasks: which run on the cluster now, which wait, and what came of each."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tightfit.distributed.connection import STORE_FULL, Connection
from tightfit.distributed.needs import processors
from tightfit.distributed.options import RETRIES
from tightfit.distributed.tasks import Answer
from tightfit.errors import RuntimeFailureError, first_line
from tightfit.search.executor import ExecutorLostError

LOST_S: Final = 300.0
"""How long a search waits for a node when none is left."""

_POLL_S: Final = 0.5

Key = tuple[str, ...]


@dataclass
class Task:
    """One task.

    Args:
        key: kind, name of the candidate, number of the shard.
        start: submits it and returns Ray's reference to its answer.
        wanted: whether the search waits for it; the others are begun only where processors are idle.
        cpus: processors that it keeps busy.
    """

    key: Key
    start: Callable[[], Any]
    wanted: bool = False
    cpus: int = 1
    reference: Any = None
    answer: Answer | None = field(default=None, repr=False)
    failure: str | None = None
    submitted: float = 0.0


class Script:
    """What a driver did, in order, and what its tasks took: a simulation replays it with other workers.

    Attributes:
        events: ``at`` seconds, ``event`` (add, wait, got, cancel, drain, release), ``task``, ``wanted``.
        tasks: ``task``, ``seconds`` of its work, ``cpu_seconds``, ``elapsed`` seconds since it was submitted.
    """

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.events: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []

    def note(self, event: str, key: Key, *, wanted: bool = False) -> None:
        """Record an event."""
        at = time.monotonic() - self.begun
        self.events.append({"at": at, "event": event, "task": "/".join(key), "wanted": wanted})

    def ended(self, key: Key, answer: Answer, elapsed: float) -> None:
        """Record what a task took."""
        took = {"seconds": answer.seconds, "cpu_seconds": answer.cpu_seconds, "elapsed": elapsed}
        self.tasks.append({"task": "/".join(key), "host": answer.host, "bytes": len(answer.packed), **took})

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "seconds": time.monotonic() - self.begun,
            "events": self.events,
            "tasks": self.tasks,
        }


class TaskQueue:
    """Tasks by their keys; a key is computed once.

    Args:
        connection: to the cluster.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection, self.ray = connection, connection.ray
        self.tasks: dict[Key, Task] = {}
        self.held = False
        self.script = Script()

    def add(self, key: Key, start: Callable[[], Any], *, wanted: bool = False, cpus: int = 1) -> Task:
        """Return the task with a key, which is added where there is none."""
        if key not in self.tasks:
            self.script.note("add", key, wanted=wanted)
        task = self.tasks.setdefault(key, Task(key, start, cpus=cpus))
        task.wanted = task.wanted or wanted
        self._fill()
        return task

    def add_now(self, key: Key, start: Callable[[], Any]) -> Task:
        """Return a task that is submitted at once, also after ``drain``."""
        self.script.note("add", key, wanted=True)
        task = self.tasks[key] = Task(key, start, wanted=True)
        task.reference, task.submitted = start(), time.monotonic()
        return task

    def result(self, task: Task, possible: Callable[[], bool] | None = None) -> Any:
        """Return what a task found; it is waited for.

        Args:
            task: added before.
            possible: whether the cluster has a node for it; by default one with a processor.

        Raises:
            TightfitError: what the task raised, or that its workers died.
        """
        task.wanted = True
        self.script.note("wait", task.key)
        lost_since = None
        while task.answer is None and task.failure is None:
            self._fill()
            self._collect(_POLL_S)
            lost_since = self._patience(lost_since, possible or self._has_processors)
        if task.failure is not None:
            raise RuntimeFailureError(task.failure)
        self.script.note("got", task.key)
        assert task.answer is not None  # noqa: S101 - the loop above ends with one of both
        return task.answer.result()

    def forget(self, name: str) -> None:
        """Cancel what runs or waits for a candidate."""
        for key in [key for key in self.tasks if name in key[1:2]]:
            self.script.note("cancel", key)
            self._cancel(self.tasks.pop(key))

    def drain(self) -> None:
        """Wait until nothing runs; nothing is begun until ``release``."""
        self.script.note("drain", ())
        self.held = True
        while self._running():
            self._collect(_POLL_S)

    def release(self) -> None:
        """Go on after ``drain``."""
        self.script.note("release", ())
        self.held = False
        self._fill()

    def close(self) -> None:
        """Cancel everything."""
        self.held = True
        for task in self.tasks.values():
            self._cancel(task)
        self.tasks.clear()

    def _running(self) -> list[Task]:
        return [
            t
            for t in self.tasks.values()
            if t.reference is not None and t.answer is None and t.failure is None
        ]

    def _fill(self) -> None:
        """Submit what is wanted, and what is expected where processors are idle."""
        if self.held:
            return
        waiting = [t for t in self.tasks.values() if t.reference is None and t.failure is None]
        if not waiting:
            return
        running = self._running()
        # Nodes that offer more processors than their machine has are not all used: tasks would slow down
        # each other, and each worker process that is not needed starts for nothing.
        most, is_shared = processors(self.connection.nodes(), self.connection.cores)
        idle, free = most - len(running), most - sum(task.cpus for task in running)
        for task in sorted(waiting, key=lambda t: not t.wanted):
            fits = not is_shared or not running or task.cpus <= free
            if fits and (task.wanted or idle > 0):
                task.reference = self.connection.reached(task.start)
                task.submitted = time.monotonic()
                running.append(task)
                idle, free = idle - 1, free - task.cpus

    def _collect(self, seconds: float) -> bool:
        """Take in the answers of tasks that have ended; False when there is none."""
        running = {t.reference: t for t in self._running()}
        if not running:
            time.sleep(seconds if self.held else 0.0)
            return False
        ended, _ = self.connection.reached(
            self.ray.wait, list(running), num_returns=1, timeout=seconds, fetch_local=True
        )
        for reference in ended:
            self._take(running[reference])
        return bool(ended)

    def _take(self, task: Task) -> None:
        try:
            task.answer = self.connection.reached(self.ray.get, task.reference)
        except self.ray.exceptions.RayError as error:
            task.failure = self._words(task, error)
            return
        assert task.answer is not None  # noqa: S101 - tasks return one
        self.script.ended(task.key, task.answer, time.monotonic() - task.submitted)

    def _words(self, task: Task, error: Exception) -> str:
        """A sentence on a task that ended without an answer."""
        kinds, what = self.ray.exceptions, "/".join(task.key)
        if isinstance(error, kinds.OutOfDiskError | kinds.ObjectStoreFullError):
            return f"{what}: {STORE_FULL}"
        if isinstance(error, kinds.OutOfMemoryError):
            return f"The memory of a node was not enough for {what}. Add a larger node to the cluster."
        if isinstance(error, kinds.WorkerCrashedError | kinds.NodeDiedError | kinds.ObjectLostError):
            return f"The workers of {what} died {RETRIES + 1} times ({type(error).__name__})."
        return f"{what} ended with {type(error).__name__}: {first_line(error)}."

    def _cancel(self, task: Task) -> None:
        if task.reference is not None and task.answer is None:
            with contextlib.suppress(Exception):  # it may have ended, or the cluster may be gone
                self.ray.cancel(task.reference, force=True)

    def _has_processors(self) -> bool:
        return any(node.cpus for node in self.connection.nodes())

    def _patience(self, lost_since: float | None, possible: Callable[[], bool]) -> float | None:
        """When the last node was lost, None while there are nodes.

        Raises:
            ExecutorLostError: no node came back in time.
        """
        if possible():
            return None
        now = time.monotonic()
        if lost_since is not None and now - lost_since > LOST_S:
            raise ExecutorLostError(
                f"The cluster has had no node for a task for {LOST_S:.0f} s. Start nodes and run the same "
                "command again: it goes on where it stopped."
            )
        return lost_since or now

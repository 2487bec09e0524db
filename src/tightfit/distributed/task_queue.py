"""The driver's list of tasks: which run on the cluster now, which wait, and what came of each."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tightfit.distributed.connection import STORE_FULL, Connection
from tightfit.distributed.needs import Node, processors
from tightfit.distributed.options import RETRIES
from tightfit.distributed.script import Key, Script
from tightfit.distributed.tasks import Answer
from tightfit.errors import RuntimeFailureError, first_line
from tightfit.search.executor import ExecutorLostError

LOST_S: Final = 300.0
"""How long a search waits for a node when none is left."""

START_S: Final = 2.0
"""Processor time of starting a worker process: shorter tasks wait for the worker that there is."""

SLOW_S: Final = 60.0
SLOW_TIMES: Final = 4.0
"""A task that runs longer than ``SLOW_S + SLOW_TIMES · (the longest of its kind)`` runs a second time."""

SUSPECT_S: Final = 30.0
"""The same for a task that does not end after a node was lost: its request may hang there for minutes."""

_POLL_S: Final = 0.5


@dataclass
class Task:
    """One task.

    Args:
        key: kind, name of the candidate, number of the shard.
        start: submits it and returns Ray's reference to its answer.
        wanted: whether the search waits for it; the others are begun only where processors are idle.
        cpus: processors that it keeps busy.
        taken: is called with the reference whose answer counts.
        repeatable: whether it may run a second time where its node is slow.
    """

    key: Key
    start: Callable[[], Any]
    wanted: bool = False
    cpus: int = 1
    taken: Callable[[Any], None] | None = None
    repeatable: bool = True
    references: list[Any] = field(default_factory=list)
    answer: Answer | None = field(default=None, repr=False)
    failure: str | None = None
    submitted: float = 0.0

    @property
    def runs(self) -> bool:
        """Whether it was submitted and has not ended."""
        return bool(self.references) and self.answer is None and self.failure is None

    @property
    def waits(self) -> bool:
        """Whether it was not submitted yet."""
        return not self.references and self.answer is None and self.failure is None

    def submit(self, start: Callable[[Callable[[], Any]], Any]) -> None:
        """Start it, or a second try of it."""
        self.references.append(start(self.start))
        if len(self.references) == 1:
            self.submitted = time.monotonic()


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
        self._known: frozenset[str] = frozenset()
        self._node_lost = 0.0

    def add(self, task: Task) -> Task:
        """Return the task with a key, which is added where there is none."""
        if task.key not in self.tasks:
            self.script.note("add", task.key, wanted=task.wanted)
        known = self.tasks.setdefault(task.key, task)
        known.wanted = known.wanted or task.wanted
        self._fill()
        return known

    def add_now(self, key: Key, start: Callable[[], Any]) -> Task:
        """Return a task that is submitted at once, also after ``drain``, and once."""
        self.script.note("add", key, wanted=True)
        task = self.tasks[key] = Task(key, start, wanted=True, repeatable=False)
        task.submit(self.connection.reached)
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
        self._wait(lambda: task.answer is None and task.failure is None, possible or self._has_processors)
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
        """Wait until nothing runs; nothing is begun until ``release``.

        Raises:
            ExecutorLostError: no node is left for what runs.
        """
        self.script.note("drain", ())
        self.held = True
        self._wait(lambda: bool(self._running()), self._has_processors)

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

    def _wait(self, goes_on: Callable[[], bool], possible: Callable[[], bool]) -> None:
        lost_since = None
        while goes_on():
            self._fill()
            self._collect(_POLL_S)
            lost_since = self._patience(lost_since, possible)

    def _running(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.runs]

    def _fill(self) -> None:
        """Submit what is wanted, what is expected where processors are idle, and second tries of slow tasks.

        Nodes that offer more processors than their machine has are not all used: tasks would slow down each
        other, and the start of another worker process takes more than it gains for tasks that are short.
        """
        waiting = [] if self.held else [task for task in self.tasks.values() if task.waits]
        nodes = self._nodes()
        slow = [task for task in self._running() if self._is_slow(task)]
        running = [task for task in self._running() if task not in slow]
        most, is_shared = processors(nodes, self.connection.cores)
        idle, free = most - len(running), most - sum(task.cpus for task in running)
        for task in [*sorted(waiting, key=lambda t: not t.wanted), *slow]:
            is_long = max(self.script.longest(task.key[0]), self._running_s(running)) >= START_S
            fits = not is_shared or not running or (is_long and task.cpus <= free)
            if fits and (idle > 0 or (task.wanted and not task.references)):
                task.submit(self.connection.reached)
                running.append(task)
                idle, free = idle - 1, free - task.cpus

    @staticmethod
    def _running_s(running: Sequence[Task]) -> float:
        """For how long the first of the running tasks has run."""
        return max((time.monotonic() - task.submitted for task in running), default=0.0)

    def _nodes(self) -> list[Node]:
        """The nodes that are alive; when one is missing is remembered."""
        nodes = self.connection.nodes()
        alive = frozenset(node.key for node in nodes)
        if self._known - alive:
            self._node_lost = time.monotonic()
        self._known = alive
        return nodes

    def _is_slow(self, task: Task) -> bool:
        """True where the node of a task hangs or is very slow, by lost nodes and by the times of others."""
        if not task.repeatable or len(task.references) > 1:
            return False
        now = time.monotonic()
        if task.submitted < self._node_lost < now - SUSPECT_S:
            return True
        return now - task.submitted > SLOW_S + SLOW_TIMES * self.script.longest(task.key[0])

    def _collect(self, seconds: float) -> bool:
        """Take in the answers of tasks that have ended; False when there is none."""
        running = {reference: task for task in self._running() for reference in task.references}
        if not running:
            time.sleep(seconds if self.held else 0.0)
            return False
        ended, _ = self.connection.reached(
            self.ray.wait, list(running), num_returns=1, timeout=seconds, fetch_local=True
        )
        for reference in ended:
            self._take(running[reference], reference)
        return bool(ended)

    def _take(self, task: Task, reference: Any) -> None:
        """Take in an answer; the other try of the task ends, and is not counted."""
        try:
            task.answer = self.connection.reached(self.ray.get, reference)
        except self.ray.exceptions.RayError as error:
            task.references.remove(reference)
            if not task.references:
                task.failure = self._words(task, error)
            return
        assert task.answer is not None  # noqa: S101 - tasks return one
        task.references.remove(reference)
        self._cancel(task)
        if task.taken is not None:
            task.taken(reference)
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
        """End the tries of a task that have not ended."""
        for reference in task.references:
            with contextlib.suppress(Exception):  # it may have ended, or the cluster may be gone
                self.ray.cancel(reference, force=True)

    def _has_processors(self) -> bool:
        return any(node.cpus for node in self._nodes())

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

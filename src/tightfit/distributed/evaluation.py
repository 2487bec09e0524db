"""``evaluate`` on a Ray cluster: every worker opens the data itself and scores shards of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tightfit.distributed.artifacts import stored_file
from tightfit.distributed.connection import Connection, versions
from tightfit.distributed.context import portable_data, portable_metrics
from tightfit.distributed.evaluation_bench import Evaluated, EvaluationContext
from tightfit.distributed.needs import NEEDS
from tightfit.distributed.options import RayCluster
from tightfit.distributed.script import Key
from tightfit.distributed.sharded_accuracy import merged_shards, shard_bounds, shards_for
from tightfit.distributed.submitter import remote_task
from tightfit.distributed.task_queue import Task, TaskQueue
from tightfit.distributed.tasks import perform
from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.task import Tasks
from tightfit.types import Steps

__all__ = ["Evaluated", "evaluate_on"]


def evaluate_on(
    cluster: RayCluster, models: Sequence[Path], asked: Evaluated, notes: Sequence[str], progress: Steps
) -> list[Accuracy]:
    """Return the accuracy of each model, bit-equal to one process for the same samples.

    Args:
        cluster: where the shards run.
        models: files; the first is the reference.
        asked: what is evaluated.
        notes: of the data.
        progress: called with the samples done and the samples in all.

    Raises:
        OptionError: versions differ, or code of the user is not trusted.
        RuntimeFailureError: the cluster cannot be reached, or is lost.
        TightfitError: see ``evaluation.accuracy.evaluate``.
    """
    portable = _portable(asked, trust_code=cluster.trust_code)
    connection = Connection(cluster)
    queue = TaskQueue(connection)
    try:
        return _Evaluation(connection, queue, models, portable).result(notes, progress)
    finally:
        queue.close()
        connection.close()


def _portable(asked: Evaluated, *, trust_code: bool) -> Evaluated:
    data = portable_data(asked.data, trust_code=trust_code)
    return replace(asked, data=data, metrics=portable_metrics(asked.metrics, trust_code=trust_code))


class _Evaluation:
    def __init__(
        self, connection: Connection, queue: TaskQueue, models: Sequence[Path], asked: Evaluated
    ) -> None:
        self.connection, self.queue, self.asked = connection, queue, asked
        self.bytes = sum(path.stat().st_size for path in models)
        stored = [stored_file(path.read_bytes(), path.name, connection.put) for path in models]
        context = EvaluationContext(uuid.uuid4().hex, stored, asked, versions(), connection.ray.get)
        self.context = connection.put(context)

    def result(self, notes: Sequence[str], progress: Steps) -> list[Accuracy]:
        tasks: Tasks = self.queue.result(self._add(("tasks",), "tasks"))
        shared = self.connection.put(tasks)
        count = len(self.asked.indices)
        bounds = list(shard_bounds(count, shards_for(self.connection.nodes())))
        parts = [self._add(("shard", "", str(i)), "shard", shared, *each) for i, each in enumerate(bounds)]
        scored = merged_shards(self.queue, parts, bounds, progress)
        return scored.accuracies((*notes, *tasks.reading.notes))

    def _add(self, key: Key, kind: str, *arguments: Any) -> Task:
        def start() -> Any:
            remote = remote_task(self.connection, perform, kind, self.bytes)
            return remote.remote(self.context, kind, *arguments)

        return self.queue.add(Task(key, start, True, NEEDS[kind].cpus))

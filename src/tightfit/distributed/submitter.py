"""Submits the tasks of one search: their needs, the search's context, files by their content."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tightfit.distributed.artifacts import Artifact, digest, stored_file
from tightfit.distributed.connection import Connection, versions
from tightfit.distributed.context import Context, portable, portable_samples
from tightfit.distributed.needs import NEEDS
from tightfit.distributed.options import RETRIES
from tightfit.distributed.script import Key
from tightfit.distributed.task_queue import Task, TaskQueue
from tightfit.distributed.tasks import perform, perform_recording
from tightfit.pipeline.source import Source
from tightfit.runtime.child.process import worker_count
from tightfit.search.job import Job
from tightfit.search.search_samples import SearchSamples


class Submitter:
    """Adds tasks to the queue of a search.

    Args:
        connection: to the cluster.
        job: what is searched for.
        source: the float model.
        samples: of the search.
    """

    def __init__(self, connection: Connection, job: Job, source: Source, samples: SearchSamples) -> None:
        self.connection, self.ray = connection, connection.ray
        self.queue = TaskQueue(connection)
        self.model_bytes = source.path.stat().st_size
        self.artifacts: dict[tuple[str, str], Artifact] = {}
        content = Context(
            key=uuid.uuid4().hex,
            job=portable(job, trust_code=connection.cluster.trust_code),
            model=self.artifact(source.path),
            versions=versions(),
            lanes=worker_count(),
            fetch=self.ray.get,
            **portable_samples(samples, job),
        )
        self.context = connection.put(content)

    def do(self, key: Key, kind: str, *arguments: Any) -> Any:
        """Return what a task finds; it is waited for."""
        return self.queue.result(self.add(key, kind, *arguments, wanted=True))

    def add(self, key: Key, kind: str, *arguments: Any, wanted: bool, method: str | None = None) -> Task:
        """Return a task of a kind, which is a row of ``NEEDS`` and a method of ``Workbench``.

        Args:
            key: of the task.
            kind: see above.
            arguments: of the method; references stand for what they refer to.
            wanted: whether it runs although no processor is idle.
            method: where it is not named as the kind.
        """

        def start() -> Any:
            return self._remote(perform, kind).remote(self.context, method or kind, *arguments)

        return self.queue.add(Task(key, start, wanted, NEEDS[kind].cpus))

    def add_recording(self, key: Key, keep: Callable[[Any], None], *arguments: Any) -> Task:
        """Return a task of the float model on a shard; its answers stay in the object store.

        Args:
            key: of the task.
            keep: is called with the reference to the answers.
            arguments: of ``Workbench.record``.
        """
        answers: dict[Any, Any] = {}

        def start() -> Any:
            remote = self._remote(perform_recording, "shard", num_returns=2)
            scores, answers_of = remote.remote(self.context, *arguments)
            answers[scores] = answers_of
            return scores

        def taken(scores: Any) -> None:
            keep(answers[scores])
            answers.clear()

        return self.queue.add(Task(key, start, True, NEEDS["shard"].cpus, taken))

    def artifact(self, path: Path) -> Artifact:
        """Return a file of this machine as workers get it; its content is stored once."""
        content = path.read_bytes()
        key = digest(content), path.name
        if key not in self.artifacts:
            self.artifacts[key] = stored_file(content, path.name, self.connection.put)
        return self.artifacts[key]

    def _remote(self, function: Callable[..., Any], kind: str, **options: Any) -> Any:
        return remote_task(self.connection, function, kind, self.model_bytes, **options)


def remote_task(
    connection: Connection, function: Callable[..., Any], kind: str, model_bytes: int, **options: Any
) -> Any:
    """Return a function as Ray starts it, with its needs declared.

    Args:
        connection: to the cluster.
        function: of this package.
        kind: a row of ``NEEDS``.
        model_bytes: of the models that it runs.
        options: of ``ray.remote``.
    """
    needs = NEEDS[kind].options(connection.nodes(), model_bytes)
    return connection.ray.remote(max_retries=RETRIES, **needs, **options)(function)

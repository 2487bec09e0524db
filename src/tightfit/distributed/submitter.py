"""Submits the tasks of one search: their needs, the search's context, files by their content."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tightfit.distributed.artifacts import Artifact, digest
from tightfit.distributed.connection import Connection, versions
from tightfit.distributed.context import Context, portable, portable_samples
from tightfit.distributed.needs import NEEDS
from tightfit.distributed.options import RETRIES
from tightfit.distributed.task_queue import Key, Task, TaskQueue
from tightfit.distributed.tasks import perform, perform_recording
from tightfit.pipeline.source import Source
from tightfit.runtime.child.process import cores, worker_count
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

        return self.queue.add(key, start, wanted=wanted)

    def add_recording(self, key: Key, keep: Callable[[Any], None], *arguments: Any) -> Task:
        """Return a task of the float model on a shard; its answers stay in the object store.

        Args:
            key: of the task.
            keep: is called with the reference to the answers.
            arguments: of ``Workbench.record``.
        """

        def start() -> Any:
            remote = self._remote(perform_recording, "shard", num_returns=2)
            scores, answers = remote.remote(self.context, *arguments)
            keep(answers)
            return scores

        return self.queue.add(key, start, wanted=True)

    def artifact(self, path: Path) -> Artifact:
        """Return a file of this machine as workers get it; its content is stored once."""
        content = path.read_bytes()
        key = digest(content), path.name
        if key not in self.artifacts:
            self.artifacts[key] = Artifact(key[0], self.connection.put(content), path.name)
        return self.artifacts[key]

    def _remote(self, function: Callable[..., Any], kind: str, **options: Any) -> Any:
        needs = NEEDS[kind].options(self.connection.nodes(), self.model_bytes)
        return self.ray.remote(max_retries=RETRIES, runtime_env=_ENVIRONMENT, **needs, **options)(function)


def _blas_threads() -> str:
    """Return how many threads OpenBLAS has in this process, as its variables say."""
    named = (os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"))
    return next(filter(None, named), str(cores()))


_ENVIRONMENT: Final = {"env_vars": {"OMP_NUM_THREADS": _blas_threads(), "OPENBLAS_THREAD_TIMEOUT": "10"}}
"""Ray gives each worker one thread. With another number of threads than the driver's, products of large
matrices have other last bits, and a recovery such as GPTQ writes another file."""

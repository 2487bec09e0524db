"""A fine-tuning on a cluster, as its driver sees it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tightfit import errors
from tightfit.distributed.artifacts import stored_file
from tightfit.distributed.connection import Connection, versions
from tightfit.distributed.needs import Node
from tightfit.distributed.options import RETRIES, RayCluster
from tightfit.distributed.training_run import News, TrainingRun, TrainingWork, WorkerGroup
from tightfit.errors import OptionError, RuntimeFailureError, first_line
from tightfit.files import atomic_file
from tightfit.training.loop.batch_share import Share

Listener = Callable[[str, int, int, dict[str, Any]], None]

_POLL_S: Final = 0.5
_THREADS: Final = 8
"""Calls that the actor of a training answers beside the training itself."""


def train_on(
    cluster: RayCluster,
    work: TrainingWork,
    model: Path,
    checkpoint: Path,
    listener: Listener,
) -> Any:
    """Return what a training gives whose batches are shared by workers of a cluster.

    The checkpoint is written on this machine after each epoch: when workers die, Ray Train starts all of them
    again from it, and when this process dies, the same call goes on from it.

    Args:
        cluster: with its number of workers.
        work: what each worker does.
        model: the float ``.tflite``.
        checkpoint: to go on from, where it exists.
        listener: called with (stage, step, steps, metrics).

    Raises:
        OptionError: the cluster has fewer processors than workers, or versions differ.
        RuntimeFailureError: the cluster cannot be reached, or workers die again and again.
        TightfitError: what the training raises.
    """
    connection = Connection(cluster)
    try:
        return _Training(connection, work, model, checkpoint, listener).result()
    finally:
        connection.close()


def worker_group(nodes: list[Node], workers: int | None, batch: int) -> WorkerGroup:
    """Return the workers of a training: by default about one a node, with all its processors.

    Args:
        nodes: of the cluster.
        workers: wanted; None for the most that share a batch evenly, at most one on each node.
        batch: samples of a step.

    Raises:
        OptionError: there are fewer processors, or the batch cannot be shared evenly.

    Example:
        >>> nodes = [Node(name, name, 4, 8e9) for name in "abc"]
        >>> worker_group(nodes, None, 32), worker_group(nodes, 4, 32)
        (WorkerGroup(count=2, cpus=4), WorkerGroup(count=4, cpus=2))
    """
    cpus = [int(node.cpus) for node in nodes if node.cpus >= 1]
    if workers is None:
        workers = next((n for n in range(len(cpus), 0, -1) if Share(0, n).divides(batch)), 0)
    if not 1 <= workers <= sum(cpus):
        raise OptionError(
            f"Received {workers} workers for a training; the cluster has {sum(cpus)} processors. Start more "
            "nodes, or take fewer workers."
        )
    Share(0, workers).check(batch)
    each = next(size for size in range(max(cpus), 0, -1) if sum(n // size for n in cpus) >= workers)
    return WorkerGroup(workers, each)


class _Training:
    def __init__(
        self, connection: Connection, work: TrainingWork, model: Path, checkpoint: Path, listener: Listener
    ) -> None:
        self.connection, self.ray = connection, connection.ray
        self.checkpoint, self.listener, self.batch = checkpoint, listener, work.batch
        self.context = {
            "work": connection.put(work),
            "model": stored_file(model.read_bytes(), model.name, connection.put),
            "versions": versions(),
            "fetch": self.ray.get,
        }

    def result(self) -> Any:
        """Train; where the node of the run's actor is lost, begin another from the checkpoint."""
        said = ""
        for _ in range(RETRIES + 1):
            try:
                return self._run()
            except (self.ray.exceptions.ActorDiedError, self.ray.exceptions.ActorUnavailableError) as error:
                said = first_line(error)
        raise RuntimeFailureError(
            f"The nodes of a training died {RETRIES + 1} times ({said[:160]}). The same command goes on from "
            "its last checkpoint."
        )

    def _run(self) -> Any:
        group = worker_group(self.connection.nodes(), self.connection.cluster.workers, self.batch)
        actor = self.ray.remote(num_cpus=0, max_concurrency=_THREADS)(TrainingRun)
        known = self.checkpoint.read_bytes() if self.checkpoint.is_file() else None
        run = actor.remote(known)
        try:
            ended = run.fit.remote(run, self.context, group)
            return self._followed(run, ended)
        finally:
            self.ray.kill(run)

    def _followed(self, run: Any, ended: Any) -> Any:
        version = 0
        while True:
            done, _ = self.connection.reached(self.ray.wait, [ended], timeout=_POLL_S)
            news: News = self.connection.reached(self.ray.get, run.news.remote(version))
            version = news.version
            self._receive(news)
            if news.refusal is not None:
                name, sentence = news.refusal
                raise getattr(errors, name, RuntimeFailureError)(sentence)
            if news.result is not None:
                return pickle.loads(news.result)  # noqa: S301 - a worker of this training has made it
            if done:
                self._failed(ended)

    def _receive(self, news: News) -> None:
        """Write the checkpoint and pass the steps on."""
        if news.checkpoint is not None:
            with atomic_file(self.checkpoint) as file:
                file.write(news.checkpoint)
        for step in news.steps:
            self.listener(*step)

    def _failed(self, ended: Any) -> None:
        """Raise why a run ended without a result."""
        gone = self.ray.exceptions.ActorDiedError, self.ray.exceptions.ActorUnavailableError
        try:
            self.connection.reached(self.ray.get, ended)
        except gone:
            raise
        except self.ray.exceptions.RayError as error:
            cause = str(getattr(error, "cause", None) or error).strip().splitlines()
            raise RuntimeFailureError(
                f"The workers of the training failed {RETRIES + 1} times; the last one with: "
                f"{cause[-1][:200] if cause else type(error).__name__}"
            ) from error
        raise RuntimeFailureError("The training ended without a result. Run the same command again.")

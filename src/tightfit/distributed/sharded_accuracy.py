"""An evaluation in shards: the float model runs once, its answers stay where they were recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tightfit.distributed.needs import Node
from tightfit.distributed.submitter import Submitter
from tightfit.distributed.task_queue import Task, TaskQueue
from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.early_stopping import Limit
from tightfit.evaluation.scoring import Scored
from tightfit.streaming.pairwise_sums import BLOCK
from tightfit.types import Steps

MOST_SHARDS: Final = 64


class ShardedAccuracy:
    """The accuracy of files beside one float model, in shards over the nodes of a cluster.

    Args:
        submitter: of the search.
        count: number of samples.
        notes: of the data, for the results.
    """

    def __init__(self, submitter: Submitter, count: int, notes: Sequence[str]) -> None:
        self.submitter, self.count = submitter, count
        self.notes = tuple(notes)
        self.bounds = list(shard_bounds(count, shards_for(submitter.connection.nodes())))
        self._answers: dict[int, Any] = {}
        self._tasks: Any = None

    @property
    def is_recorded(self) -> bool:
        """Whether the float model has run on all shards."""
        return len(self._answers) == len(self.bounds)

    def record(self, progress: Steps) -> Accuracy:
        """Return the accuracy of the float model, whose answers are recorded."""
        tasks = self.submitter.do(("tasks",), "tasks")
        self.notes = (*self.notes, *tasks.reading.notes)
        self._tasks = self.submitter.connection.put(tasks)
        parts = [self._recording(number) for number in range(len(self.bounds))]
        return self.merged(parts, progress)

    def shards(self, name: str, path: Path) -> list[Task]:
        """Return the tasks of a file, added where they were not yet.

        Args:
            name: of the candidate.
            path: of its file.
        """
        file = self.submitter.artifact(path)
        return [
            self.submitter.add(
                ("shard", name, str(number)),
                "shard",
                file,
                self._tasks,
                bounds,
                self._answers[number],
                wanted=True,
            )
            for number, bounds in enumerate(self.bounds)
        ]

    def limited(self, name: str, path: Path, limit: Limit) -> Accuracy:
        """Return the accuracy of a file that is given up once it must lose more than the limit.

        The samples are then scored in order by one task, so that it ends where one machine ends.
        """
        answers = [self._answers[number] for number in range(len(self.bounds))]
        file = self.submitter.artifact(path)
        found: Accuracy = self.submitter.do(("limited", name), "limited", file, limit, *answers)
        return found

    def merged(self, parts: Sequence[Task], progress: Steps) -> Accuracy:
        """Return the accuracy of the last model of shards, merged in their order."""
        total = merged_shards(self.submitter.queue, parts, self.bounds, progress)
        found: Accuracy = total.accuracies(self.notes)[-1]
        return found

    def _recording(self, number: int) -> Task:
        first, end = self.bounds[number]

        def keep(answers: Any) -> None:
            self._answers[number] = answers

        return self.submitter.add_recording(("record", "", str(number)), keep, self._tasks, first, end)


def merged_shards(
    queue: TaskQueue, parts: Sequence[Task], bounds: Sequence[tuple[int, int]], progress: Steps
) -> Scored:
    """Return the scores of shards as those of one process: merged in their order, their labels checked.

    Args:
        queue: that has the tasks.
        parts: the tasks.
        bounds: first sample and end of each.
        progress: called with the samples done and the samples in all.

    Raises:
        DataError: the labels do not fit.
    """
    total: Scored | None = None
    for part, (_, end) in zip(parts, bounds, strict=True):
        scored = queue.result(part)
        if total is None:
            total = scored
        else:
            total.merge(scored)
        progress(end, bounds[-1][1])
    assert total is not None  # noqa: S101 - an evaluation has a sample
    total.check.verify()
    return total


def shards_for(nodes: Sequence[Node]) -> int:
    """Return how many shards keep the processors of a cluster busy."""
    return max(1, min(MOST_SHARDS, int(sum(node.cpus for node in nodes))))


def shard_bounds(count: int, shards: int) -> Iterator[tuple[int, int]]:
    """Yield the first sample and the end of each shard; all but the last have whole blocks.

    Example:
        >>> list(shard_bounds(1000, 2))
        [(0, 512), (512, 1000)]
    """
    blocks = -(-count // BLOCK)
    size = max(1, -(-blocks // shards)) * BLOCK
    yield from ((first, min(first + size, count)) for first in range(0, count, size))

"""A search's work as Ray tasks: the decisions stay in the driver, in the order of one machine."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tightfit.distributed.artifacts import Artifact, digest
from tightfit.distributed.connection import Connection
from tightfit.distributed.latency_node import LatencyNode
from tightfit.distributed.sharded_accuracy import ShardedAccuracy
from tightfit.distributed.submitter import Submitter
from tightfit.distributed.task_queue import Task
from tightfit.errors import RuntimeFailureError
from tightfit.evaluation.slices.model_slices import refuse_unanswered
from tightfit.files import atomic_file
from tightfit.pipeline.source import Source
from tightfit.quantization.calibration.calibrate import merge_lanes
from tightfit.quantization.calibration.observing import lane_count
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.candidates.recipes import Recipe
from tightfit.search.candidates.target_policy import TargetPolicy
from tightfit.search.job import Job, Listener
from tightfit.search.journal import is_sound
from tightfit.search.measurement import Measurer
from tightfit.search.search_samples import SearchSamples
from tightfit.units import format_count

MOST_SHARDS: Final = 64


class RayExecutor:
    """Runs a search's work on a cluster; see ``search.executor.Executor``.

    Args:
        connection: to the cluster. job, source, samples, policy, listener: of the search.
    """

    def __init__(
        self,
        connection: Connection,
        job: Job,
        source: Source,
        samples: SearchSamples,
        policy: TargetPolicy,
        listener: Listener,
    ) -> None:
        self.connection, self.ray = connection, connection.ray
        self.job, self.source, self.samples, self.policy = job, source, samples, policy
        self.listener = listener
        self.measurer = Measurer(source, samples, job)
        self.latency_node = LatencyNode(connection, job.budget)
        self.submitter = Submitter(connection, job, source, samples)
        self.queue = self.submitter.queue
        self.sharded = ShardedAccuracy(self.submitter, len(samples.evaluating), samples.dataset.notes)
        self.seen: Any = None

    # -- the data ------------------------------------------------------------------------------

    def examine(self) -> list[str]:
        """Return what the doctor finds."""
        self.listener.stage("examining the data", 1)
        found: list[str] = self.submitter.do(("examine",), "examine")
        return found

    def calibrate(self) -> None:
        """Collect what the calibration samples show, one lane a task."""
        if self.seen is not None:
            return
        lanes = lane_count(self.source.model)
        self.listener.stage(f"calibrating on {len(self.samples.calibrating)} samples", lanes)
        count = self.submitter.add(("count",), "count", wanted=True)
        parts = [
            self.submitter.add(("lane", "", str(i)), "lane", i, lanes, wanted=True) for i in range(lanes)
        ]
        seen = merge_lanes(self.queue.result(count), [self._counted(parts, i) for i in range(lanes)])
        refuse_unanswered(self.source.model, seen.probes)
        self.seen = self.connection.put(pickle.dumps(seen))

    # -- files ---------------------------------------------------------------------------------

    def make(self, candidate: Candidate, recipe: Recipe, path: Path) -> Candidate:
        """Write a candidate's file, which a worker has made."""
        self.listener.stage(f"{recipe.name}: file", 1)
        self.calibrate()
        made, content = self._made(candidate, recipe)
        with atomic_file(path) as file:
            file.write(content)
        self.listener.advance(1, 1)
        return made

    def sizes(self, candidate: Candidate, path: Path) -> Candidate:
        """Return it with sizes and the target's verdict."""
        key = ("sizes", candidate.name)
        return _checked(candidate, self.submitter.do(key, "sizes", candidate, self._artifact(path)))

    def layers(self, candidate: Candidate, path: Path) -> Candidate:
        """Return it with the error per layer."""
        self.listener.stage(f"{candidate.name}: error per layer", 1)
        key = ("layers", candidate.name)
        found = _checked(candidate, self.submitter.do(key, "layers", candidate, self._artifact(path)))
        self.listener.advance(1, 1)
        return found

    # -- measurements --------------------------------------------------------------------------

    def accuracy(self, candidate: Candidate, path: Path) -> Candidate:
        """Return it with the accuracy, measured in shards."""
        count = len(self.samples.evaluating)
        self.listener.stage(f"{candidate.name}: accuracy on {format_count(count, 'sample')}", count)
        limit, sharded = self.measurer.limit(), self.sharded
        if candidate.is_original or not sharded.is_recorded:
            found = sharded.record(self.listener.advance)
        elif limit is not None:
            found = sharded.limited(candidate.name, path, limit)
        else:
            found = sharded.merged(sharded.shards(candidate.name, path), self.listener.advance)
        return self.measurer.take(candidate, found)

    def latency(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return candidates with their latency, measured on a node that does nothing else meanwhile."""
        self.listener.stage(f"latency of {format_count(len(candidates), 'file')}", 1)
        others = [c for c in candidates if not c.is_original]
        files = [self._artifact(self.job.output / (c.path or "")) for c in others]
        effort = self.measurer.effort
        seconds = effort.latency_seconds * len(candidates)
        found = self.latency_node.measure(
            self.queue, self.submitter.context, files, seconds, effort.latency_precision
        )
        self.listener.advance(1, 1)
        return candidates if found is None else self.measurer.take_latency(candidates, found)

    # -- what comes next -----------------------------------------------------------------------

    def expect(self, recipes: Sequence[Recipe]) -> None:
        """Begin files while processors are idle."""
        if not recipes:
            return
        self.calibrate()
        for recipe in recipes:
            self._make(self.policy.candidate(recipe, self.job.layout), recipe, wanted=False)

    def expect_accuracy(self, candidates: Sequence[Candidate]) -> None:
        """Begin accuracies; all of them are wanted."""
        if self.measurer.limit() is not None or not self.sharded.is_recorded:
            return
        for candidate in candidates:
            if candidate.failure is None and candidate.path is not None:
                self.sharded.shards(candidate.name, self.job.output / candidate.path)

    def forget(self, name: str) -> None:
        """Cancel what was begun for a candidate."""
        self.queue.forget(name)

    def notes(self) -> list[str]:
        """Return where latency was measured, or why it was not."""
        return self.latency_node.notes

    def close(self) -> None:
        """Cancel everything."""
        with atomic_file(self.job.output / "tasks.json") as file:
            script = self.queue.script.to_dict() | {
                "samples": len(self.samples.evaluating),
                "model_bytes": self.submitter.model_bytes,
            }
            file.write(json.dumps(script, indent=1).encode())
        self.queue.close()
        self.measurer.close()

    # -- tasks ---------------------------------------------------------------------------------

    def _make(self, candidate: Candidate, recipe: Recipe, *, wanted: bool) -> Task:
        need = "recover" if recipe.recovery else "make"
        return self.submitter.add(
            ("make", recipe.name), need, candidate, recipe, self.seen, method="make", wanted=wanted
        )

    def _made(self, candidate: Candidate, recipe: Recipe) -> tuple[Candidate, bytes]:
        """Return a worker's candidate and file; what is not the file that it measured is made once more."""
        for _ in range(2):
            made, content = self.queue.result(self._make(candidate, recipe, wanted=True))
            made = _checked(candidate, made)
            if digest(content) == made.sha256:
                return made, content
            self.queue.forget(recipe.name)
        raise RuntimeFailureError(
            f"Workers sent a file of {recipe.name} twice that is not the one they measured. Check the nodes' "
            "memory."
        )

    def _counted(self, parts: Sequence[Task], number: int) -> Any:
        found = self.queue.result(parts[number])
        self.listener.advance(number + 1, len(parts))
        return found

    def _artifact(self, path: Path) -> Artifact:
        return self.submitter.artifact(path)


def _checked(candidate: Candidate, found: Candidate) -> Candidate:
    """Return what a worker found.

    Raises:
        RuntimeFailureError: it is no candidate of the name, or a field has a value that no search writes.
    """
    if not isinstance(found, Candidate) or found.name != candidate.name or not is_sound(found):
        raise RuntimeFailureError(
            f"A worker answered for {candidate.name} with something else. Check that every node runs this "
            "release of tightfit."
        )
    return found

"""What a worker process keeps of a search between its tasks, and the tasks themselves."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tightfit.distributed.artifacts import Artifact, local_file
from tightfit.distributed.context import Context, named_data, plain_data
from tightfit.evaluation.accuracy import PROBES, THREADS, Accuracy, evaluate, understand
from tightfit.evaluation.early_stopping import Limit
from tightfit.evaluation.latency import Latency, compare_latency
from tightfit.evaluation.scoring import Scored, score_shard
from tightfit.evaluation.task import Tasks
from tightfit.pipeline.source import open_source
from tightfit.quantization.calibration.calibrate import (
    SampleCounter,
    count_samples,
    observe_lane,
)
from tightfit.runtime.child.process import fix_worker_count
from tightfit.scratch import kept_folder
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.candidates.recipes import Recipe
from tightfit.search.candidates.target_policy import TargetPolicy
from tightfit.search.job import Job, NullProgress
from tightfit.search.local_executor import LocalExecutor
from tightfit.search.recorded_answers import Recorded, Recording
from tightfit.search.search_samples import SearchSamples, open_sets
from tightfit.streaming.tensor_statistics import Watch


class Workbench:
    """A search in one worker process: the model, the samples, and the executor of one machine.

    Its public methods are the kinds of tasks.
    """

    def __init__(self, context: Context) -> None:
        self.fetch = context.fetch
        self.folder = kept_folder()
        fix_worker_count(context.lanes)
        self.source = open_source(local_file(context.model, self.fetch))
        opened = replace(context.job, model=self.source.path, output=self.folder)
        data, calibration = open_sets(_without_functions(opened), self.source)
        self.samples = SearchSamples(
            named_data(data, opened.data),
            context.evaluating,
            named_data(calibration, opened.calibration_data),
            context.calibrating,
            facts=context.facts,
        )
        self.job = opened
        self.policy = TargetPolicy(opened.budget)
        self.local = LocalExecutor(opened, self.source, self.samples, self.policy, NullProgress())
        self.recordings: dict[tuple[int, int], Recording] = {}

    # -- the data ------------------------------------------------------------------------------

    def tasks(self) -> Tasks:
        """Return what is measured, from the float model's first answers."""
        return understand(
            self.source.path, self.samples.dataset, self.samples.evaluating, self.job.metrics(), PROBES
        )

    def examine(self) -> list[str]:
        """Return what the doctor finds."""
        return self.local.examine()

    def count(self) -> SampleCounter:
        """Return the statistics of the calibration samples themselves."""
        return count_samples(self.source.model, self.samples.calibration())

    def lane(self, number: int, lanes: int) -> dict[str, Watch]:
        """Return what every n-th calibration sample shows."""
        chosen = sorted(int(i) for i in self.samples.calibrating)[number::lanes]
        inputs = (s.inputs for s in self.samples.calibration_set.samples(chosen))
        return observe_lane(self.source.model, inputs, number, lanes)

    # -- files ---------------------------------------------------------------------------------

    def make(self, candidate: Candidate, recipe: Recipe, seen: bytes) -> tuple[Candidate, bytes]:
        """Return a candidate with the content of its file."""
        self._calibrate(seen)
        path = self.folder / f"{recipe.name}.tflite"
        try:
            return self.local.make(candidate, recipe, path), path.read_bytes()
        finally:
            path.unlink(missing_ok=True)

    def sizes(self, candidate: Candidate, file: Artifact) -> Candidate:
        """Return a candidate with its sizes."""
        return self.local.sizes(candidate, self._path(file))

    def layers(self, candidate: Candidate, file: Artifact) -> Candidate:
        """Return a candidate with its error per layer."""
        return self.local.layers(candidate, self._path(file))

    # -- measurements --------------------------------------------------------------------------

    def record(self, tasks: Tasks, first: int, end: int) -> tuple[Scored, Recorded]:
        """Return the float model's scores on a shard, and its answers."""
        recording = Recording(self.source.path, THREADS)
        try:
            scored = self._shard([recording.open], tasks, first, end)
            return scored, recording.export()
        finally:
            recording.close()

    def shard(self, file: Artifact, tasks: Tasks, bounds: tuple[int, int], answers: Recorded) -> Scored:
        """Return the scores of the float model, as recorded, and of a file on a shard."""
        return self._shard([self._recording([answers], bounds).open, self._path(file)], tasks, *bounds)

    def limited(self, file: Artifact, limit: Limit, *answers: Recorded) -> Accuracy:
        """Return the accuracy of a file that is given up once it must lose more than the limit."""
        return evaluate(
            [self._recording(answers, (0, len(self.samples.evaluating))).open, self._path(file)],
            self.samples.dataset,
            self.samples.evaluating,
            metric=self.job.metrics(),
            limit=limit,
            slices=self.local.measurer.slices,
        )[-1]

    def latency(self, files: Sequence[Artifact], seconds: float, precision: float) -> list[Latency]:
        """Return the latency of the float model and of files, interleaved."""
        paths = [self.source.path, *(self._path(file) for file in files)]
        return compare_latency(paths, threads=self.job.threads, budget_s=seconds, precision=precision)

    def _shard(self, models: Sequence[Any], tasks: Tasks, first: int, end: int) -> Scored:
        chosen = sorted(int(i) for i in self.samples.evaluating)[first:end]
        slices = self.local.measurer.slices
        return score_shard(models, self.samples.dataset, chosen, tasks, first=first, slices=slices)

    def _recording(self, answers: Sequence[Recorded], key: tuple[int, int]) -> Recording:
        """The recording of shards, written once in this process; the key is their first sample and end."""
        if key not in self.recordings:
            while len(self.recordings) >= _MOST_RECORDINGS:
                self.recordings.pop(next(iter(self.recordings))).close()
            recording = Recording(self.source.path, THREADS)
            for each in answers:
                recording.extend(each)
            self.recordings[key] = recording
        return self.recordings[key]

    def _calibrate(self, seen: bytes) -> None:
        """Take over what calibration saw; arrays of the object store are read-only, these are not."""
        builder = self.local.builder.builder
        if seen and builder.seen is None:
            builder.seen = pickle.loads(seen)  # noqa: S301 - the driver of this search has made it

    def _path(self, file: Artifact) -> Path:
        return local_file(file, self.fetch)


_MOST_RECORDINGS: Final = 4


def _without_functions(job: Job) -> Job:
    """The job with plain functions, which ``open_data`` takes."""
    return replace(job, data=plain_data(job.data), calibration_data=plain_data(job.calibration_data))

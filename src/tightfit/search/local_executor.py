"""The work of a search in this process and its children."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tightfit.diagnosis.doctor.notes import full_check
from tightfit.pipeline.source import Source
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.candidates.candidate_builder import CandidateBuilder
from tightfit.search.candidates.recipes import Recipe
from tightfit.search.candidates.target_policy import TargetPolicy
from tightfit.search.job import Job, Listener
from tightfit.search.measurement import Measurer
from tightfit.search.search_samples import SearchSamples
from tightfit.units import format_count

_ROUNDED: Final = 8
"""Samples on which the float16 of a target is simulated."""


class LocalExecutor:
    """Does the work at once, when it is asked for; see ``Executor``.

    Args:
        job: what is searched for.
        source: the float model.
        samples: those that calibrate and those that evaluate.
        policy: what the target asks for.
        listener: is called as the work goes on.
    """

    def __init__(
        self, job: Job, source: Source, samples: SearchSamples, policy: TargetPolicy, listener: Listener
    ) -> None:
        self.source, self.samples, self.policy, self.listener = source, samples, policy, listener
        self.measurer = Measurer(source, samples, job)
        self.builder = CandidateBuilder(job, source, samples, policy, listener)

    def examine(self) -> list[str]:
        """Return what the doctor finds in the samples."""
        samples = self.samples
        self.listener.stage("examining the data", len(samples.calibrating))
        calibration = samples.calibration_set, samples.calibrating
        evaluation = samples.dataset, samples.evaluating
        return full_check(self.source, calibration, evaluation, self.listener.advance)

    def calibrate(self) -> None:
        """Collect what the calibration samples show."""
        self.builder.calibration()

    def make(self, candidate: Candidate, recipe: Recipe, path: Path) -> Candidate:
        """Write the file of a recipe, and measure what needs no samples."""
        self.listener.stage(f"{recipe.name}: file", 1)
        made = self.sizes(self.builder.make(candidate, recipe, path), path)
        self.listener.advance(1, 1)
        return made

    def sizes(self, candidate: Candidate, path: Path) -> Candidate:
        """Return it with sizes, the error per layer where the effort asks for it, the target's verdict."""
        layers = candidate.name not in self.builder.mirrored and not self.measurer.effort.stops_early
        some = self.samples.dataset.samples(self.samples.evaluating[:_ROUNDED])
        return self.policy.judge(self.measurer.sizes(candidate, path, layers=layers), path, some)

    def accuracy(self, candidate: Candidate, path: Path) -> Candidate:
        """Run a file on all samples."""
        count = len(self.samples.evaluating)
        self.listener.stage(f"{candidate.name}: accuracy on {format_count(count, 'sample')}", count)
        return self.measurer.accuracy(candidate, path, self.listener.advance)

    def latency(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Measure the latency of files together: the float model runs once a round."""
        self.listener.stage(f"latency of {format_count(len(candidates), 'file')}", 1)
        timed = self.measurer.latency(candidates)
        self.listener.advance(1, 1)
        return timed

    def layers(self, candidate: Candidate, path: Path) -> Candidate:
        """Measure the error per layer."""
        self.listener.stage(f"{candidate.name}: error per layer", 1)
        found = self.measurer.layers(candidate, path)
        self.listener.advance(1, 1)
        return found

    def expect(self, recipes: Sequence[Recipe]) -> None:
        """Do nothing: work begins when it is asked for."""

    def expect_accuracy(self, candidates: Sequence[Candidate]) -> None:
        """Do nothing."""

    def forget(self, name: str) -> None:
        """Do nothing."""

    def notes(self) -> list[str]:
        """Return nothing: a search on this machine is the usual one."""
        return []

    def close(self) -> None:
        """Drop the recorded outputs of the float model."""
        self.measurer.close()

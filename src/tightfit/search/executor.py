"""Where the work of a search is done: here, or on a cluster; the search itself decides in one order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tightfit.errors import RuntimeFailureError
from tightfit.pipeline.source import Source
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.candidates.recipes import Recipe
from tightfit.search.candidates.target_policy import TargetPolicy
from tightfit.search.job import Job, Listener
from tightfit.search.search_samples import SearchSamples


class ExecutorLostError(RuntimeFailureError):
    """The machines that do the work are gone: the search ends, and the same command goes on later."""


class Executor(Protocol):
    """Makes and measures candidates; every method returns when its work is done.

    The search calls the methods in the same order wherever they run. What it will probably want next is
    announced by ``expect`` and ``expect_accuracy``: an executor may begin it, and ``forget`` ends it.
    """

    def examine(self) -> list[str]:
        """Return what the doctor finds in the samples, as notes."""

    def calibrate(self) -> None:
        """Collect what the calibration samples show, once.

        Raises:
            DataError: a sample does not fit the model, or is not finite.
        """

    def make(self, candidate: Candidate, recipe: Recipe, path: Path) -> Candidate:
        """Write a candidate's file; return it with steps, sizes, error per layer and the target's verdict.

        Raises:
            TightfitError: it cannot be made.
        """

    def sizes(self, candidate: Candidate, path: Path) -> Candidate:
        """Return it with the sizes of its file, which exists, and the target's verdict."""

    def accuracy(self, candidate: Candidate, path: Path) -> Candidate:
        """Return it with accuracy, drop, agreement and signal-to-noise."""

    def latency(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return candidates with their latency, interleaved with the float model's."""

    def layers(self, candidate: Candidate, path: Path) -> Candidate:
        """Return it with the error per layer."""

    def expect(self, recipes: Sequence[Recipe]) -> None:
        """Announce recipes whose files will probably be wanted, the first ones first."""

    def expect_accuracy(self, candidates: Sequence[Candidate]) -> None:
        """Announce candidates whose accuracy will be wanted."""

    def forget(self, name: str) -> None:
        """End what was begun for a candidate that can no longer be chosen."""

    def notes(self) -> list[str]:
        """Return what a reader of the report should know of where it ran."""

    def close(self) -> None:
        """End everything that was begun."""


class ExecutorFactory(Protocol):
    """Makes the executor of a search."""

    def __call__(
        self, job: Job, source: Source, samples: SearchSamples, policy: TargetPolicy, listener: Listener
    ) -> Executor:
        """Return the executor."""

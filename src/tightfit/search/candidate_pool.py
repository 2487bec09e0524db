"""The candidates of a search, each in its latest stage, and the file that is the best so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tightfit.errors import TightfitError
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.devices.device_choice import judge_for_all
from tightfit.search.executor import ExecutorLostError
from tightfit.search.folder import copy_file
from tightfit.search.job import Job, Outcome
from tightfit.search.journal import Journal
from tightfit.search.verdict.choice import choose, judge, pareto
from tightfit.watched import refuse_changed


class CandidatePool:
    """The candidates of an outcome; the first is the float model.

    Args:
        job: what is searched for.
        outcome: holds the candidates; it is changed in place.
        journal: keeps what was measured, for a run that goes on later.
    """

    def __init__(self, job: Job, outcome: Outcome, journal: Journal) -> None:
        self.job, self.outcome, self.journal = job, outcome, journal

    @property
    def all(self) -> list[Candidate]:
        """Every candidate, in the order of the recipes."""
        return self.outcome.candidates

    def latest(self, name: str) -> Candidate:
        """Return the candidate of a name in its latest stage."""
        return next(c for c in self.all if c.name == name)

    def add(self, candidate: Candidate, order: Sequence[str]) -> None:
        """Take in a new candidate, in the order of the recipes' names."""
        first, *others = [*self.all, candidate]
        self.outcome.candidates = [first, *sorted(others, key=lambda c: order.index(c.name))]

    def keep(self, *changed: Candidate) -> None:
        """Put candidates in the place of their earlier stages, as their next stage."""
        latest = {c.name: c for c in changed}
        self.outcome.candidates = [latest.get(c.name, c) for c in self.all]

    def record_known(self, candidates: Sequence[Candidate]) -> None:
        """Write later stages of candidates that the journal has."""
        for candidate in candidates:
            if candidate.name in self.journal.found:
                self.journal.put(candidate)

    def judge(self) -> None:
        """Judge all by the budget, and keep ``best.tflite`` the file that is chosen."""
        outcome, budget = self.outcome, self.job.budget
        names = [name for name, facts in outcome.devices.items() if "machine" in facts]
        if names:
            outcome.candidates, chosen = judge_for_all(outcome.candidates, budget, names)
        else:
            outcome.candidates = judge(outcome.candidates, budget)
            chosen = choose(outcome.candidates, budget)
        outcome.best = None if chosen is None else chosen.name
        outcome.pareto = pareto(outcome.candidates)
        if chosen is not None and chosen.path is not None:
            copy_file(self.job.output / chosen.path, self.job.output / "best.tflite")


def attempt(candidate: Candidate, action: Callable[[], Candidate]) -> Candidate:
    """Return a candidate's next stage; whatever breaks one candidate, the search goes on.

    Args:
        candidate: in its present stage; it gets the failure.
        action: returns the next stage.

    Raises:
        ExecutorLostError: the machines that do the work are gone.
        ModelError: a file changed while the search ran: every candidate would fail.
    """
    try:
        return action()
    except ExecutorLostError:
        raise
    except TightfitError as error:
        refuse_changed()  # all others would fail too
        return replace(candidate, failure=str(error))
    except Exception as error:  # noqa: BLE001 - see above
        said = f"It broke on {type(error).__name__}: {error}. Please report this."
        return replace(candidate, failure=said)

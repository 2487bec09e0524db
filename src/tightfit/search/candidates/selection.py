"""Which recipes a search tries, given what it found so far, and why it leaves others out."""

from __future__ import annotations

from collections.abc import Sequence

from tightfit.search.candidates.candidate import Candidate
from tightfit.search.candidates.recipes import Recipe
from tightfit.search.candidates.shrink_recipes import refusal
from tightfit.search.effort import Skip, find_effort
from tightfit.search.job import Job
from tightfit.search.verdict.gains import beyond_recovery, is_dominated, is_repeated
from tightfit.targets.profile import Target


class Selection:
    """Decides for each recipe whether it is tried; ``notes`` lists those that are not.

    Args:
        job: its budget, its effort and the recipes that it names.
        target: the budget's, or None.
    """

    def __init__(self, job: Job, target: Target | None) -> None:
        self.job, self.target = job, target
        self.refused: dict[Skip, list[str]] = {}

    def wants(self, recipe: Recipe, candidates: Sequence[Candidate]) -> bool:
        """True when a recipe should be tried now.

        Args:
            recipe: the recipe in question.
            candidates: all so far, judged.
        """
        if self.job.recipes:
            return True
        skip = self._skip(recipe, candidates)
        if skip is not None:
            self.refuse(skip, recipe.name)
        return skip is None

    def refuse(self, skip: Skip, name: str) -> None:
        """Note that a recipe is not tried."""
        self.refused.setdefault(skip, []).append(name)

    def would_want(self, recipe: Recipe, candidates: Sequence[Candidate]) -> bool:
        """Return what ``wants`` would, as far as it is known now, and note nothing."""
        return bool(self.job.recipes) or self._skip(recipe, candidates) is None

    def notes(self) -> list[str]:
        """One sentence a reason, with the names that it left out."""
        found = [(skip.reason, names) for skip, names in self.refused.items() if skip.is_noted]
        return [not_tried_note(why, names) for why, names in found]

    def not_tried(self) -> dict[str, list[str]]:
        """Return reason → names of all that was left out."""
        found: dict[str, list[str]] = {}
        for skip, names in self.refused.items():
            found.setdefault(skip.reason, []).extend(names)
        return found

    def _skip(self, recipe: Recipe, candidates: Sequence[Candidate]) -> Skip | None:
        """Return why a recipe is not tried, None to try it."""
        budget, effort = self.job.budget, find_effort(self.job.effort)
        if recipe.shrink is not None:
            return refusal(recipe, effort, budget, candidates, self.target)
        if effort.exhaustive:
            return None
        if not effort.pays_for(recipe.effort):
            reason = f"They are tried with --effort {recipe.effort}."
            return Skip(reason, is_noted=not recipe.recovers)
        if not recipe.recovers:
            return _skip_for(is_repeated(recipe, candidates, budget))
        return self._no_recovery(recipe, [c for c in candidates if not c.failure])

    def _no_recovery(self, recipe: Recipe, made: Sequence[Candidate]) -> Skip | None:
        """A recovery is for what its plain twin and cheaper recoveries, or all as a last resort, miss."""
        same = [c for c in made if c.scheme == recipe.scheme and c.interface == recipe.interface]
        rivals = made if recipe.last_resort else same
        enough = next((c.name for c in rivals if self._is_enough(c)), None)
        if enough is not None:
            return Skip(f"They are for what misses the budget; {enough} does not.", is_noted=False)
        if not (recipe.last_resort or same):
            return Skip("The plain file of their scheme was not tried or failed.", is_noted=False)
        beaten = next((c.beaten_by for c in same if c.beaten_by is not None), None)
        if beaten is not None:
            return Skip(f"{beaten} meets the budget and is preferred for its size and latency.")
        return _skip_for(beyond_recovery(same, self.job.budget) or is_dominated(same, made))

    def _is_enough(self, candidate: Candidate) -> bool:
        """True for what meets the budget, also where only more samples could say so: recovery gives none."""
        unproven = candidate.meets_budget is None and self.job.budget.may_meet(candidate)
        return bool(candidate.meets_budget) or unproven


def not_tried_note(reason: str, names: Sequence[str]) -> str:
    """Return one sentence with the names that a reason left out."""
    return f"Not tried: {', '.join(names)}. {reason}"


def _skip_for(reason: str | None) -> Skip | None:
    return None if reason is None else Skip(reason)

"""Makes the file of a recipe: plan, recoveries, layout, provenance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tightfit.pipeline.build_spec import BuildSpec
from tightfit.pipeline.builder import Builder
from tightfit.pipeline.source import Source
from tightfit.quantization.calibration.calibrate import Calibration
from tightfit.quantization.modes import Override
from tightfit.quantization.plan import EXACT, INTEGER, Plan
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover
from tightfit.search.candidates.candidate import Candidate, FloatOp, PlanSummary
from tightfit.search.candidates.recipes import Recipe
from tightfit.search.candidates.shrink_recipes import Shrinker
from tightfit.search.candidates.target_policy import TargetPolicy
from tightfit.search.job import Job, Listener
from tightfit.search.search_samples import SearchSamples


class CandidateBuilder:
    """Makes files of one float model; what they share is computed once.

    Attributes:
        mirrored: names of candidates whose layers have other channels than the float model's.
    """

    def __init__(
        self, job: Job, source: Source, samples: SearchSamples, policy: TargetPolicy, listener: Listener
    ) -> None:
        self.job, self.source, self.samples = job, source, samples
        self.policy, self.listener = policy, listener
        count = len(samples.calibrating)
        self.builder = Builder(source, samples.calibration, count, _Stages(listener, count))
        self.shrinker = Shrinker(policy.target)
        self.mirrored: set[str] = set()
        self._last: tuple[Recipe, RecoveryState] | None = None

    def make(self, candidate: Candidate, recipe: Recipe, path: Path) -> Candidate:
        """Write the file, and return the candidate with what was done.

        Raises:
            TightfitError: it cannot be made, or LiteRT does not run it.
        """
        state = self._recovered(candidate, recipe)
        spec, facts = self._spec(recipe), self._provenance(candidate, state)
        written = self.builder.write(state, spec, path, facts)
        if not spec.recovery and self.builder.mend(state, spec, written.outputs):
            facts = self._provenance(candidate, state)
            written = self.builder.write(state, spec, path, facts)
        layout = [f"layout: {name} ({count} ops)" for name, count in written.layout.items()]
        stored = [] if recipe.shrink is None else self.shrinker.store(recipe.shrink, path)
        done = candidate.with_step(*state.notes, *layout, *written.notes, *stored)
        return replace(done, plan_summary=_summarize(state.plan))

    def calibration(self) -> Calibration | None:
        """Return what the calibration samples showed, collected once.

        Raises:
            DataError: a sample does not fit the model, or is not finite.
        """
        return self.builder.calibration()

    def _recovered(self, candidate: Candidate, recipe: Recipe) -> RecoveryState:
        """Return the model and its plan after all steps; they start from the last recipe's where they can."""
        last, self._last = self._last, None
        if last is not None and recipe.goes_on_from(last[0]):
            state, done = last[1], len(last[0].recovery)
        else:
            spec = self._spec(recipe)
            state, done = self.builder.begin(spec), 0
            if spec.is_automatic:
                state = self.builder.improved(state, spec)
            if recipe.shrink is not None and self.shrinker.shrink(state, recipe.shrink, spec.layout).mirrored:
                self.mirrored.add(candidate.name)
        if done:
            recover(state, recipe.recovery[done:])
        else:
            self.builder.recover(state, spec)
        self._last = recipe, state
        return state

    def _spec(self, recipe: Recipe) -> BuildSpec:
        """Return what file a recipe asks for."""
        return BuildSpec(
            self.policy.scheme(recipe.scheme, recipe.interface),
            observers={}
            if self.job.observer is None
            else dict.fromkeys(("int8", "int16"), self.job.observer),
            recovery=tuple(recipe.recovery),
            # A smaller model answers otherwise than the float model, which is no noise of its integers.
            effort=0 if recipe.shrink is not None else recipe.repairs,
            target=self.policy.target,
            layout=self.policy.layout(self.job.layout),
            max_size_bytes=self.job.budget.max_size,
            folder=self.job.output / "unfinished",
            slices=self.job.slices,
        )

    def _provenance(self, candidate: Candidate, state: RecoveryState) -> dict[str, Any] | None:
        """Return how the candidate's file was made, for its provenance."""
        if not self.job.provenance:
            return None
        target = self.job.budget.target
        return {
            "candidate": candidate.name,
            "steps": list(candidate.steps),
            "overrides": [[o.pattern, o.scheme] for o in state.overrides if isinstance(o, Override)],
            "data": self.samples.provenance(self.job),
        } | ({"target": target} if target else {})


class _Stages:
    """Turns the words of a recovery's progress into stages for the listener."""

    def __init__(self, listener: Listener, samples: int) -> None:
        self.listener, self.samples, self.current = listener, samples, ""

    def __call__(self, what: str, done: int, total: int) -> None:
        count = total or self.samples
        if what != self.current:
            self.current = what
            self.listener.stage(what, count)
        self.listener.advance(done, count)


def _summarize(plan: Plan) -> PlanSummary:
    """How many ops of a plan run on integers and in float, and the refused ones with reasons."""
    ops = [op for op in plan.ops() if op.mode != EXACT]
    integer = sum(op.mode == INTEGER for op in ops)
    left = [FloatOp(op.name, op.kind, op.reason) for op in plan.refusals()]
    return PlanSummary(integer, len(ops) - integer, left)

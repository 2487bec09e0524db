"""Makes the file of a recipe: plan, recoveries, layout, provenance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tightfit.pipeline.quantize_file import Source, write_plan
from tightfit.quantization.calibration.calibrate import Calibration, calibrate
from tightfit.quantization.calibration.moments import Moments
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.modes import Override
from tightfit.quantization.plan import EXACT, INTEGER, Plan
from tightfit.quantization.planning import Overrides, make_plan
from tightfit.recovery.steps import RecoveryState, recover
from tightfit.search.candidates import Candidate, FloatOp, PlanSummary
from tightfit.search.job import Job, Listener
from tightfit.search.recipes import Recipe
from tightfit.search.search_samples import Samples
from tightfit.search.shrink_recipes import Shrinker
from tightfit.search.target_policy import TargetPolicy


class CandidateBuilder:
    """Makes files of one float model; what they share is computed once.

    Attributes:
        mirrored: names of candidates whose layers have other channels than the float model's.
    """

    def __init__(
        self, job: Job, source: Source, samples: Samples, policy: TargetPolicy, listener: Listener
    ) -> None:
        self.job, self.source, self.samples = job, source, samples
        self.policy, self.listener = policy, listener
        self.shrinker = Shrinker(policy.target)
        self.mirrored: set[str] = set()
        self._calibrated: Calibration | None = None
        self._moments: dict[str, Moments] = {}
        self._last: tuple[Recipe, RecoveryState] | None = None

    def candidate(self, recipe: Recipe) -> Candidate:
        """Gives the candidate that a recipe is for, before anything is done."""
        wanted = self.policy.scheme(recipe.scheme, recipe.interface)
        candidate = Candidate(recipe.name, recipe.scheme, [wanted.summary], interface=recipe.interface)
        candidate.layout = self.policy.layout(self.job.layout)
        return candidate

    def make(self, candidate: Candidate, recipe: Recipe, path: Path) -> None:
        """Writes the file, and fills in what was done.

        Raises:
            TightfitError: it cannot be made, or LiteRT does not run it.
        """
        work = self._recovered(candidate, recipe)
        candidate.steps += work.notes
        source = replace(self.source, model=work.model, facts=self._provenance(candidate, work.overrides))
        layout, probes = self.policy.layout(self.job.layout), self.calibration().probes
        written = write_plan(source, work.plan, path, target=layout, probes=probes, adapt=self.policy.adapt)
        candidate.steps += [f"layout: {name} ({count} ops)" for name, count in written.layout.items()]
        candidate.steps += written.notes
        if recipe.shrink is not None:
            candidate.steps += self.shrinker.store(recipe.shrink, path)
        candidate.plan_summary = _summarize(work.plan)

    def calibration(self) -> Calibration:
        """What the calibration samples showed, collected once.

        Raises:
            DataError: a sample does not fit the model, or is not finite.
        """
        if self._calibrated is None:
            count = len(self.samples.calibrating)
            self.listener.stage(f"calibrating on {count} samples", count)
            steps = _Steps(self.listener, count)
            self._calibrated = calibrate(self.source.model, self.samples.calibration(), progress=steps)
        return self._calibrated

    def _recovered(self, candidate: Candidate, recipe: Recipe) -> RecoveryState:
        """The model and its plan after all steps; the last recipe's where that did the first of them."""
        last, self._last = self._last, None
        if last is not None and recipe.goes_on_from(last[0]):
            work, done = last[1], len(last[0].recovery)
        else:
            work, done = self._begun(recipe), 0
            layout = self.policy.layout(self.job.layout)
            if recipe.shrink is not None and self.shrinker.shrink(work, recipe.shrink, layout).mirrored:
                self.mirrored.add(candidate.name)
        recover(work, recipe.recovery[done:])
        self._last = recipe, work
        return work

    def _begun(self, recipe: Recipe) -> RecoveryState:
        """The plan of a scheme; moments are collected once for all candidates."""
        scheme = self.policy.scheme(recipe.scheme, recipe.interface)
        observers = {} if self.job.observer is None else dict.fromkeys(("int8", "int16"), self.job.observer)
        ranges = Ranges([self.calibration().statistics], observers)
        model = self.source.model
        overrides = self.policy.overrides(model, scheme, ranges)
        plan = make_plan(model, scheme, ranges, overrides=overrides)
        work = RecoveryState(model, plan, ranges, self.samples.calibration, self.job.model.stat().st_size)
        work.overrides, work.moments = overrides, self._moments
        work.size_bytes = self.job.budget.max_size
        work.progress = _Stages(self.listener, len(self.samples.calibrating))
        work.folder = self.job.output / "unfinished"
        return work

    def _provenance(self, candidate: Candidate, overrides: Overrides) -> dict[str, Any] | None:
        """What the candidate's file says about how it was made."""
        if not self.job.provenance:
            return None
        target = self.job.budget.target
        return {
            "candidate": candidate.name,
            "steps": list(candidate.steps),
            "overrides": [[o.pattern, o.scheme] if isinstance(o, Override) else list(o) for o in overrides],
            "data": self.samples.provenance(self.job),
        } | ({"target": target} if target else {})


class _Steps:
    """Counts calibration samples for the listener."""

    def __init__(self, listener: Listener, total: int) -> None:
        self.listener, self.total, self.done = listener, total, 0

    def __call__(self) -> None:
        self.done += 1
        self.listener.advance(self.done, self.total)


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

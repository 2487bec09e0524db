"""The main job: every scheme is made, measured and judged; the best so far is always on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tightfit.errors import ModelError, OptionError
from tightfit.evaluation.accuracy import understand
from tightfit.graph.summary import summary
from tightfit.paths import check_paths
from tightfit.pipeline.source import open_source
from tightfit.search.candidate_pool import CandidatePool, attempt
from tightfit.search.candidates.candidate import ORIGINAL_SCHEME, Candidate
from tightfit.search.candidates.recipes import Recipe, find_recipes
from tightfit.search.candidates.selection import Selection
from tightfit.search.candidates.shrink_recipes import training_notes, with_shrink_gain
from tightfit.search.candidates.target_policy import TargetPolicy
from tightfit.search.devices.device_results import measure_on_devices
from tightfit.search.effort import Skip, find_effort
from tightfit.search.executor import ExecutorFactory
from tightfit.search.folder import copy_file, output_folder
from tightfit.search.job import INTERRUPTED, OUT_OF_TIME, Job, Listener, Outcome
from tightfit.search.journal import Journal
from tightfit.search.local_executor import LocalExecutor
from tightfit.search.measurement_facts import measurement_facts
from tightfit.search.search_samples import open_samples
from tightfit.search.verdict.choice import beaten_by, by_cost, tie_notes
from tightfit.search.verdict.gains import with_gain
from tightfit.search.verdict.job_checks import check_job, unlabelled_note
from tightfit.search.verdict.processors import COMPARED, processor_notes


def search(job: Job, listener: Listener, executor: ExecutorFactory = LocalExecutor) -> Outcome:
    """Runs the search; a KeyboardInterrupt ends it early with what was found.

    Args:
        job: what is searched for.
        listener: is called as the search goes on.
        executor: makes what does the work: in this process, or on a cluster.

    Raises:
        TightfitError: the model or the data cannot be used at all; nothing was written then.
    """
    read = {"model": job.model, "data": job.data, "calibration data": job.calibration_data}
    check_paths(read | dict(job.read), {}, folder=job.output)
    with output_folder(job.output):
        return _found(_Search(job, listener, executor))


def _found(running: _Search) -> Outcome:
    """Runs a search to its end, or to the interruption."""
    try:
        running.run()
        running.outcome.finished = True
    except KeyboardInterrupt:
        running.outcome.ending = INTERRUPTED
        running.outcome.notes.append("The search was interrupted; run the same command again to go on.")
        if not running.outcome.candidates:
            raise
    finally:
        running.executor.close()
    running.update()
    return running.outcome


class _Search:
    """One run over the recipes.

    Plain schemes are made first; their latency is measured together, then their accuracy. Recoveries and
    smaller models follow, one at a time, while the budget is not met.
    """

    def __init__(self, job: Job, listener: Listener, executor: ExecutorFactory) -> None:
        self.job, self.listener = job, listener
        self.started = time.monotonic()
        check_job(job)
        self.policy = TargetPolicy(job.budget)
        named = find_recipes(job.recipes)
        self.recipes = self.policy.recipes(named, job.recipes)
        self.effort = find_effort(job.effort)
        self.source = open_source(job.model)
        self.samples = open_samples(job, self.source)
        tasks = understand(self.source.path, self.samples.dataset, self.samples.evaluating, job.metrics())
        self.journal = Journal(job.output, measurement_facts(job, self.samples))
        if self.journal.is_of_another_model and not job.fresh:
            raise OptionError(
                f"'{job.output}' holds the search of another model. Choose another folder with -o, or "
                "replace it with --fresh."
            )
        if job.fresh:
            self.journal.found.clear()
        self.executor = executor(job, self.source, self.samples, self.policy, listener)
        facts = summary(self.source.model)
        kept = {k: facts[k] for k in ("parameters", "macs", "scheme")}
        self.outcome = Outcome(job, [], model=kept, data=self.samples.describe(job))
        self.outcome.notes += [*self.source.notes, *self.samples.dataset.notes, *tasks.reading.notes]
        self.outcome.notes += unlabelled_note(tasks)
        self.pool = CandidatePool(job, self.outcome, self.journal)
        self.selection = Selection(job, self.policy.target)
        self._refuse(named)

    def run(self) -> None:
        first = [recipe for recipe in self.recipes if recipe.is_plain]
        if any(self.journal.get(recipe.name, self.job.output) is None for recipe in first):
            self.executor.calibrate()  # bad samples are refused before anything is written
        self.outcome.notes += self.executor.examine()
        self.outcome.candidates.append(self._original())
        self.journal.write()
        self.update()
        self._expect(first)
        for recipe in first:
            self._add(recipe)
        if not self._may_leave_out():
            self.executor.expect_accuracy([c for c in self.outcome.candidates if _is_unscored(c)])
        self._time()
        self._compare()
        rest = [recipe for recipe in self.recipes if not recipe.is_plain]
        for place, recipe in enumerate(rest):
            self._expect(rest[place:])
            self._try(recipe)
        self._compare_layers()
        self._measure_devices()
        notes = self.outcome.notes
        notes += self._processor_notes()
        notes += [*self.samples.notes, *self.executor.notes()]
        notes += tie_notes(self.outcome.candidates, self.job.budget)
        notes += self.selection.notes()
        notes += training_notes(self.recipes, self.outcome.candidates, self.job.budget)
        if len(self.outcome.candidates) == 1 and self._out_of_time():
            self.outcome.ending = OUT_OF_TIME

    def update(self) -> None:
        """Judge all, keep the best file up to date and call the listener."""
        self.pool.judge()
        self.outcome.seconds = time.monotonic() - self.started
        self.outcome.not_tried = self.selection.not_tried()
        self.listener.found(self.outcome)

    def _refuse(self, named: Sequence[Recipe]) -> None:
        """Notes the recipes that neither the user nor the target left to try."""
        for reason, names in self.policy.refused(named, self.recipes).items():
            self.selection.refused[Skip(reason, is_noted=False)] = names
        wanted = {recipe.name for recipe in named}
        others = [recipe.name for recipe in find_recipes(()) if recipe.name not in wanted]
        if others:
            self.selection.refused[Skip("--only names others.", is_noted=False)] = others

    # -- candidates ----------------------------------------------------------------------------

    def _expect(self, recipes: Sequence[Recipe]) -> None:
        """Announces the files that will be wanted as far as is known now."""
        found = self.outcome.candidates
        wanted = [r for r in recipes if self.journal.get(r.name, self.job.output) is None]
        self.executor.expect([r for r in wanted if self.selection.would_want(r, found)])

    def _original(self) -> Candidate:
        path = self.job.output / "candidates" / "float32.tflite"
        candidate = Candidate(ORIGINAL_SCHEME, ORIGINAL_SCHEME, path=self._relative(path))
        candidate = self.executor.accuracy(candidate, self.job.model)
        if candidate.failure is not None:
            raise ModelError(f"The float model does not run: {candidate.failure}")
        copy_file(self.job.model, path)  # not before it runs: an earlier search's file may stand there
        return self.executor.sizes(candidate, path)

    def _add(self, recipe: Recipe) -> tuple[Candidate, bool] | None:
        """Return a recipe's candidate with its file, and whether it is new; None where it is not wanted."""
        if not self.selection.wants(recipe, self.outcome.candidates):
            self.executor.forget(recipe.name)
            return None
        if self._out_of_time():
            self.executor.forget(recipe.name)
            self.outcome.notes.append(f"The time was used up before {recipe.name}.")
            self.selection.refuse(Skip("The time was used up.", is_noted=False), recipe.name)
            return None
        known = self.journal.get(recipe.name, self.job.output)
        candidate = known or self.policy.candidate(recipe, self.job.layout)
        if known is None:
            candidate = attempt(candidate, partial(self._make, candidate, recipe))
        self.pool.add(candidate, [recipe.name for recipe in self.recipes])
        if recipe.is_plain:
            self.journal.put(candidate)
        self.update()
        return self.pool.latest(candidate.name), known is None

    def _make(self, candidate: Candidate, recipe: Recipe) -> Candidate:
        path = self.job.output / "candidates" / f"{recipe.name}.tflite"
        return replace(self.executor.make(candidate, recipe, path), path=self._relative(path))

    def _try(self, recipe: Recipe) -> None:
        """Makes and measures one candidate, and says what it gained."""
        added = self._add(recipe)
        if added is None or not added[1]:
            return
        candidate, _ = added
        if candidate.failure is None:
            self.pool.keep(attempt(candidate, partial(self._measure_accuracy, candidate)))
        self._time()
        candidate = self.pool.latest(candidate.name)
        if recipe.shrink is not None:
            plain = next((c for c in self.outcome.candidates if c.name == recipe.scheme), None)
            candidate = with_shrink_gain(candidate, recipe.shrink, plain)
        elif recipe.recovers:
            candidate = with_gain(candidate, self.outcome.candidates)
        self.pool.keep(candidate)
        self.journal.put(candidate)
        self.update()

    # -- measurements --------------------------------------------------------------------------

    def _time(self) -> None:
        """Measures the latency of all that have none, together: the float model then runs once a round."""
        found = self.outcome.candidates
        untimed = [c for c in found if c.failure is None and c.path is not None and c.latency_ms is None]
        if not untimed:
            return
        timed = self.executor.latency(untimed)
        self.pool.keep(*timed)
        self.pool.record_known(timed)
        self.update()

    def _compare(self) -> None:
        """Measures the accuracy of plain candidates, first of those that would be chosen if it is good."""
        for name in [c.name for c in by_cost([c for c in self.outcome.candidates if _is_unscored(c)])]:
            candidate = self.pool.latest(name)
            if self._out_of_time():
                self.outcome.notes.append(
                    f"The time was used up before the accuracy of {candidate.name} was measured."
                )
                continue
            better = self._beaten_by(candidate)
            candidate = replace(candidate, beaten_by=None if better is None else better.name)
            if better is None:
                candidate = attempt(candidate, partial(self._measure_accuracy, candidate))
                self.journal.put(candidate)
            else:
                self.executor.forget(candidate.name)
            self.pool.keep(candidate)
            if better is None:
                self.update()

    def _beaten_by(self, candidate: Candidate) -> Candidate | None:
        """One that is preferred however accurate a candidate is, where that need not be known."""
        if not self._may_leave_out():
            return None
        return beaten_by(candidate, self.outcome.candidates, self.job.budget)

    def _may_leave_out(self) -> bool:
        """True where the accuracy of what cannot be chosen need not be known."""
        job = self.job
        return self.effort.stops_early and not job.recipes and job.budget.limits_drop

    def _measure_accuracy(self, candidate: Candidate) -> Candidate:
        return self.executor.accuracy(candidate, self.job.output / (candidate.path or ""))

    def _compare_layers(self) -> None:
        """Measures the error per layer of the chosen candidate where it has none."""
        chosen = self.outcome.chosen()
        if not self.effort.stops_early or chosen is None or chosen.path is None or chosen.layer_error:
            return
        if any(recipe.name == chosen.name and recipe.shrink is not None for recipe in self.recipes):
            return  # its layers have other channels
        chosen = self.executor.layers(chosen, self.job.output / chosen.path)
        self.pool.keep(chosen)
        self.journal.put(chosen)

    def _processor_notes(self) -> list[str]:
        """Return where the chosen file's outputs depend on the processor, for a file that a CPU runs."""
        chosen = self.outcome.chosen()
        if chosen is None or chosen.path is None or self.job.budget.target not in (None, "cpu"):
            return []
        samples = self.samples.dataset.samples(self.samples.evaluating[:COMPARED])
        return processor_notes(self.job.output / chosen.path, samples)

    def _measure_devices(self) -> None:
        """Measures all files on the boards, and chooses one for each and one for all."""
        job, outcome = self.job, self.outcome
        if not job.devices:
            return
        found = measure_on_devices(job, outcome.candidates, self.effort.latency_seconds, self.listener)
        outcome.candidates, outcome.devices = found.candidates, found.devices
        outcome.notes += found.notes
        self.pool.record_known(found.candidates)
        for name, chosen in found.best.items():
            path = next((c.path for c in found.candidates if c.name == chosen), None)
            if path is not None:
                copy_file(job.output / path, job.output / f"best-{name}.tflite")
        self.update()

    # -- facts ---------------------------------------------------------------------------------

    def _out_of_time(self) -> bool:
        minutes = self.job.budget.minutes
        return minutes is not None and time.monotonic() - self.started > 60 * minutes

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.job.output).as_posix()


def _is_unscored(candidate: Candidate) -> bool:
    """True where the accuracy of a candidate was not measured."""
    return candidate.snr_db is None

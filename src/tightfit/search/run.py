"""The main job: every scheme is made, measured and judged; the best so far is always on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tightfit import __version__
from tightfit.data.dataset import Dataset
from tightfit.data.samples import InputSpec
from tightfit.data.sources import open_data
from tightfit.data.split import Indices, split
from tightfit.errors import DataError, ModelError, OptionError, TightfitError, unknown_name
from tightfit.evaluation.glance import full
from tightfit.graph.inspect import summary
from tightfit.graph.ir import Array
from tightfit.quantization.calibration import Calibration, calibrate, input_names
from tightfit.quantization.modes import Override
from tightfit.quantization.pipeline import Source, open_source, write_plan
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import make_plan
from tightfit.quantization.ranges import Ranges
from tightfit.quantization.scheme import Scheme
from tightfit.recovery.moments import Moments
from tightfit.recovery.steps import Work, recover
from tightfit.search.candidates import ORIGINAL_SCHEME, Candidate
from tightfit.search.choice import choose, judge, pareto
from tightfit.search.fitting import Fitting, refuse_unknown
from tightfit.search.folder import copy_file, prepare_folder, remove_traces
from tightfit.search.gains import note_gain
from tightfit.search.job import Job, Listener, Outcome
from tightfit.search.journal import Journal, file_sha256
from tightfit.search.measure import Bench, summarize
from tightfit.search.recipes import EFFORTS, Recipe, find_recipes
from tightfit.search.selection import Selection
from tightfit.search.shrinking import Shrinker, tell, training_notes


def optimize(job: Job, listener: Listener) -> Outcome:
    """Runs the search; a KeyboardInterrupt ends it early with what was found.

    Raises:
        TightfitError: the model or the data cannot be used at all; nothing was written then.
    """
    search = _Search(job, listener)
    try:
        search.run()
        search.outcome.finished = True
    except TightfitError:
        if not search.outcome.candidates:
            remove_traces(job.output)
        raise
    except KeyboardInterrupt:
        search.outcome.notes.append("The search was interrupted; run the same command again to go on.")
        if not search.outcome.candidates:
            raise
    finally:
        search.bench.close()
    search.update()
    return search.outcome


class _Search:
    """One run over the recipes."""

    def __init__(self, job: Job, listener: Listener) -> None:
        self.job = job
        self.listener = listener
        self.started = time.monotonic()
        refuse_unknown(job.budget)
        self.fitting = Fitting(job.budget)
        recipes = self.fitting.recipes(find_recipes(job.recipes), job.recipes)
        if job.effort not in EFFORTS:
            raise OptionError(unknown_name("effort", job.effort, EFFORTS))
        self.source = open_source(job.model)
        specs = _specs(self.source)
        self.dataset = self.calibration_set = open_data(job.data, image=job.image, inputs=specs)
        if job.calibration_data is not None:
            self.calibration_set = open_data(job.calibration_data, image=job.image, inputs=specs)
        self.calibrating, self.evaluating = _split(self.dataset, self.calibration_set, job)
        prepare_folder(job.output)
        self.bench = Bench(self.source, self.dataset, self.evaluating, job)
        self.journal = Journal(job.output, self._facts())
        if job.fresh:
            self.journal.found.clear()
        self.recipes = recipes
        self.shrinker = Shrinker(self.fitting.target)
        facts = summary(self.source.model)
        kept = {k: facts[k] for k in ("parameters", "macs", "scheme")}
        self.outcome = Outcome(job, [], model=kept, data=self._describe())
        self.outcome.notes += self.source.notes
        self.calibrated: Calibration | None = None
        self.moments: dict[str, Moments] = {}
        self.mirrored: set[str] = set()
        self.selection = Selection(job, self.fitting.target)

    def run(self) -> None:
        plain = [recipe.name for recipe in self.recipes if not recipe.recovery]
        if any(self.journal.get(name, self.job.output) is None for name in plain):
            self._calibration()  # bad samples are told of before anything is written
        self._examine()
        self.outcome.candidates.append(self._original())
        self.update()
        for recipe in self.recipes:
            if not self.selection.wants(recipe, self.outcome.candidates):
                continue
            if self._out_of_time():
                self.outcome.notes.append(f"The time was used up before {recipe.name}.")
                continue
            candidate = self.journal.get(recipe.name, self.job.output) or self._candidate(recipe)
            self.outcome.candidates.append(candidate)
            self.journal.put(candidate)
            self.update()
        self._compare_layers()
        notes = self.outcome.notes
        notes += self.selection.notes()
        notes += training_notes(self.recipes, self.outcome.candidates, self.job.budget)

    def update(self) -> None:
        """Judges all, keeps the best file up to date and tells the listener."""
        outcome = self.outcome
        judge(outcome.candidates, self.job.budget)
        chosen = choose(outcome.candidates, self.job.budget)
        outcome.best = None if chosen is None else chosen.name
        outcome.pareto = pareto(outcome.candidates)
        outcome.seconds = time.monotonic() - self.started
        if chosen is not None and chosen.path is not None:
            copy_file(self.job.output / chosen.path, self.job.output / "best.tflite")
        self.listener.found(outcome)

    # -- steps ---------------------------------------------------------------------------------

    def _compare_layers(self) -> None:
        """Measures the error per layer of the chosen candidate where it has none."""
        chosen = self.outcome.chosen()
        if self.job.effort != "quick" or chosen is None or chosen.path is None or chosen.layer_error:
            return
        if any(recipe.name == chosen.name and recipe.shrink is not None for recipe in self.recipes):
            return  # its layers have other channels
        self.listener.stage(f"{chosen.name}: error per layer", 1)
        self.bench.layers(chosen, self.job.output / chosen.path)
        self.journal.put(chosen)
        self.listener.advance(1, 1)

    def _examine(self) -> None:
        """Tells what is wrong with the data before it spoils what is made of it."""
        self.listener.stage("examining the data", len(self.calibrating))
        calibration = self.calibration_set, self.calibrating
        evaluation = self.dataset, self.evaluating
        self.outcome.notes += full(self.source, calibration, evaluation, self.listener.advance)

    def _original(self) -> Candidate:
        path = self.job.output / "candidates" / "float32.tflite"
        copy_file(self.job.model, path)
        candidate = Candidate(ORIGINAL_SCHEME, ORIGINAL_SCHEME, path=self._relative(path))
        self._measure(candidate, path)
        if candidate.failure is not None:
            raise ModelError(f"The float model does not run: {candidate.failure}")
        return candidate

    def _candidate(self, recipe: Recipe) -> Candidate:
        wanted = self.fitting.scheme(recipe.scheme, recipe.interface)
        candidate = Candidate(recipe.name, recipe.scheme, [wanted.summary], interface=recipe.interface)
        candidate.layout = self.fitting.layout(self.job.layout)
        path = self.job.output / "candidates" / f"{recipe.name}.tflite"
        try:
            self._make(candidate, wanted, path, recipe)
            candidate.path = self._relative(path)
            self._measure(candidate, path)
        except TightfitError as error:
            candidate.failure = str(error)
        except Exception as error:  # noqa: BLE001 - whatever breaks one candidate, the search goes on
            candidate.failure = f"It broke on {type(error).__name__}: {error}. Please report this."
        if recipe.recovery and recipe.shrink is None:
            note_gain(candidate, self.outcome.candidates)
        if recipe.shrink is not None:
            plain = next((c for c in self.outcome.candidates if c.name == recipe.scheme), None)
            tell(candidate, recipe.shrink, plain)
        return candidate

    def _make(self, candidate: Candidate, scheme: Scheme, path: Path, recipe: Recipe) -> None:
        seen = self._calibration()
        observers = {} if self.job.observer is None else dict.fromkeys(("int8", "int16"), self.job.observer)
        ranges = Ranges([seen.statistics], observers)
        overrides = self.fitting.overrides(self.source.model, scheme, ranges)
        source, plan = self.source, make_plan(self.source.model, scheme, ranges, overrides=overrides)
        layout, adapt = self.fitting.layout(self.job.layout), self.fitting.adapt
        changed = None
        if recipe.recovery or recipe.shrink is not None:
            work = self._work(plan, ranges)
            work.overrides = overrides
            if recipe.shrink is not None:
                changed = self.shrinker.shrink(work, recipe.shrink, layout)
            recover(work, recipe.recovery)
            source, plan = replace(source, model=work.model), work.plan
            candidate.steps += work.notes
        source = replace(source, facts=self._provenance(candidate, overrides))
        written = write_plan(source, plan, path, target=layout, probes=seen.probes, adapt=adapt)
        candidate.steps += [f"layout: {name} ({count} ops)" for name, count in written.layout.items()]
        candidate.steps += written.notes
        if recipe.shrink is not None:
            candidate.steps += self.shrinker.store(recipe.shrink, path)
        candidate.plan_summary = summarize(plan)
        if changed is not None and changed.mirrored:
            self.mirrored.add(candidate.name)

    def _work(self, plan: Plan, ranges: Ranges) -> Work:
        """What recoveries start from; the moments are collected once for all candidates."""

        def samples() -> Iterator[Mapping[str, Array]]:
            return (s.inputs for s in self.calibration_set.samples(self.calibrating))

        work = Work(self.source.model, plan, ranges, samples, self.job.model.stat().st_size)
        work.size_bytes = self.job.budget.max_size
        work.moments = self.moments
        work.progress = _Stages(self.listener, len(self.calibrating))
        work.folder = self.job.output / "unfinished"
        return work

    def _measure(self, candidate: Candidate, path: Path) -> None:
        count = len(self.evaluating)
        self.listener.stage(f"{candidate.name}: accuracy on {count} samples", count)
        self.bench.accuracy(candidate, path, self.listener.advance)
        self.listener.stage(f"{candidate.name}: latency, size, error per layer", 1)
        if candidate.failure is None:
            # With little effort only the chosen one's layers are compared, at the end.
            layers = candidate.name not in self.mirrored and self.job.effort != "quick"
            self.bench.costs(candidate, path, layers=layers)
            self.fitting.judge(candidate, path)
        self.listener.advance(1, 1)

    def _calibration(self) -> Calibration:
        if self.calibrated is None:
            count = len(self.calibrating)
            self.listener.stage(f"calibrating on {count} samples", count)
            samples = (s.inputs for s in self.calibration_set.samples(self.calibrating))
            self.calibrated = calibrate(self.source.model, samples, progress=_Steps(self.listener, count))
        return self.calibrated

    # -- facts ---------------------------------------------------------------------------------

    def _out_of_time(self) -> bool:
        minutes = self.job.budget.minutes
        return minutes is not None and time.monotonic() - self.started > 60 * minutes

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.job.output).as_posix()

    def _describe(self) -> dict[str, Any]:
        described = dict(self.dataset.describe())
        described["calibration_samples"] = len(self.calibrating)
        described["evaluation_samples"] = len(self.evaluating)
        described["seed"] = self.job.seed
        if self.job.image is not None:
            described["image"] = ", ".join(f"{k} {v}" for k, v in asdict(self.job.image).items())
        described["fingerprint"] = self.dataset.fingerprint()
        return described

    def _provenance(self, candidate: Candidate, overrides: Sequence[Override]) -> dict[str, Any] | None:
        """What the candidate's file says about how it was made."""
        if not self.job.provenance:
            return None
        data = {k: self.outcome.data[k] for k in ("name", "count", "calibration_samples", "seed")}
        if self.calibration_set is not self.dataset:
            data |= {k: self.calibration_set.describe()[k] for k in ("name", "count")}
        data["fingerprint"] = self.calibration_set.fingerprint()
        rules = [[o.pattern, o.scheme] for o in overrides]
        target = self.job.budget.target
        return {
            "candidate": candidate.name,
            "steps": list(candidate.steps),
            "overrides": rules,
            "data": data,
        } | ({"target": target} if target else {})

    def _facts(self) -> dict[str, Any]:
        job = self.job
        return {
            "model": file_sha256(job.model),
            "data": [self.dataset.fingerprint(), self.calibration_set.fingerprint()],
            "versions": [version("ai-edge-litert"), __version__],
            "settings": [str(job.image), job.calibration, job.evaluation, job.seed, job.metric, job.threads],
            "layout": [job.layout, job.observer, job.provenance],
            "target": [job.budget.target, job.budget.target_memory, job.budget.min_accelerated],
        }


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


def _specs(source: Source) -> list[InputSpec]:
    named = input_names(source.model)
    return [InputSpec(n, t.shape_signature or t.shape, t.dtype) for n, t in named.items()]


def _split(dataset: Dataset, calibration_set: Dataset, job: Job) -> tuple[Indices, Indices]:
    """Which samples calibrate and which evaluate; of one data set, never the same ones."""
    count, labels = len(dataset), dataset.labels()
    if calibration_set is not dataset:
        theirs = calibration_set.labels()
        chosen = min(job.calibration, len(calibration_set))
        calibrating, _ = split(theirs, len(calibration_set), chosen, seed=job.seed, overlap=True)
        _, evaluating = split(labels, count, 0, job.evaluation, seed=job.seed, overlap=True)
        return calibrating, evaluating
    if count < 2:
        raise DataError(
            f"The data has {count} sample; optimize needs some to calibrate with and others to evaluate. "
            "Give at least 20, better 200."
        )
    # Of few samples, most are worth more for judging than for calibrating.
    calibration = min(job.calibration, max(1, count // 3))
    return split(labels, count, calibration, job.evaluation, seed=job.seed)

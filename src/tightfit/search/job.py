"""The main job: every scheme is made, measured and judged; the best so far is always on disk."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

from tightfit.data.dataset import Dataset
from tightfit.data.image_options import ImageOptions
from tightfit.data.samples import InputSpec
from tightfit.data.sources import open_data
from tightfit.data.split import Indices, split
from tightfit.errors import DataError, ModelError, OptionError, TightfitError
from tightfit.graph.inspect import summary
from tightfit.graph.writer import atomic_file
from tightfit.quantization.calibration import Calibration, calibrate, input_names
from tightfit.quantization.pipeline import Source, open_source, write_plan
from tightfit.quantization.planning import make_plan
from tightfit.quantization.ranges import Ranges
from tightfit.quantization.scheme import Scheme, find_scheme
from tightfit.search.budget import Budget
from tightfit.search.candidates import ORIGINAL_SCHEME, Candidate
from tightfit.search.choice import choose, judge, pareto
from tightfit.search.journal import Journal, file_sha256
from tightfit.search.measure import Bench, summarize

RECIPES: Final[tuple[tuple[str, str, str], ...]] = (
    ("float16", "float16", "float32"),
    ("weight8", "weight8", "float32"),
    ("dynamic", "dynamic", "float32"),
    ("int8", "int8", "float32"),
    ("int8-io-int8", "int8", "int8"),
    ("int8-io-uint8", "int8", "uint8"),
    ("int16x8", "int16x8", "float32"),
)
"""(candidate name, scheme, type of inputs and outputs), cheap ones first."""


class Listener(Protocol):
    """Hears how the search goes on; the command line draws bars with it."""

    def stage(self, name: str, total: int) -> None:
        """A new piece of work of ``total`` steps begins."""

    def advance(self, done: int, total: int) -> None:
        """Steps of the piece are done."""

    def found(self, outcome: Outcome) -> None:
        """A candidate is finished; the outcome so far."""


@dataclass
class Job:
    """What is to be optimized, by what data, for which budget.

    Args:
        calibration_data: samples of their own to calibrate with; by default they are split off ``data``.
        calibration: samples to calibrate with. evaluation: samples to evaluate at most, None for all left.
        metric: see ``evaluation.accuracy.evaluate``. threads: for latency; accuracy uses what is there.
        recipes: names of ``RECIPES`` to try, all when empty.
        fresh: measure everything again, whatever the journal says.
    """

    model: Path
    data: str
    output: Path
    image: ImageOptions | None = None
    budget: Budget = field(default_factory=Budget)
    calibration_data: str | None = None
    calibration: int = 100
    evaluation: int | None = None
    seed: int = 0
    metric: str = "auto"
    threads: int = 1
    layout: str = "cpu"
    observer: str | None = None
    recipes: Sequence[str] = ()
    fresh: bool = False


@dataclass
class Outcome:
    """What a search found.

    Args:
        candidates: the original first. best, pareto: names. finished: False while it goes on or was cut off.
    """

    job: Job
    candidates: list[Candidate]
    best: str | None = None
    pareto: list[str] = field(default_factory=list)
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    finished: bool = False
    seconds: float = 0.0

    def chosen(self) -> Candidate | None:
        """The candidate that was chosen."""
        return next((c for c in self.candidates if c.name == self.best), None)


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
            search.remove_traces()
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
        recipes = _recipes(job.recipes)
        self.source = open_source(job.model)
        specs = _specs(self.source)
        self.dataset = self.calibration_set = open_data(job.data, image=job.image, inputs=specs)
        if job.calibration_data is not None:
            self.calibration_set = open_data(job.calibration_data, image=job.image, inputs=specs)
        self.calibrating, self.evaluating = _split(self.dataset, self.calibration_set, job)
        _prepare_folder(job.output)
        self.bench = Bench(self.source, self.dataset, self.evaluating, job.metric, job.threads)
        self.journal = Journal(job.output, self._facts())
        if job.fresh:
            self.journal.found.clear()
        self.recipes = recipes
        facts = summary(self.source.model)
        kept = {k: facts[k] for k in ("parameters", "macs", "scheme")}
        self.outcome = Outcome(job, [], model=kept, data=self._describe())
        self.outcome.notes += self.source.notes
        self.calibrated: Calibration | None = None

    def run(self) -> None:
        self.outcome.candidates.append(self._original())
        self.update()
        for name, scheme, interface in self.recipes:
            if self._out_of_time():
                self.outcome.notes.append(f"The time was used up before {name}.")
                continue
            candidate = self.journal.get(name, self.job.output) or self._candidate(name, scheme, interface)
            self.outcome.candidates.append(candidate)
            self.journal.put(candidate)
            self.update()

    def update(self) -> None:
        """Judges all, keeps the best file up to date and tells the listener."""
        outcome = self.outcome
        judge(outcome.candidates, self.job.budget)
        chosen = choose(outcome.candidates, self.job.budget)
        outcome.best = None if chosen is None else chosen.name
        outcome.pareto = pareto(outcome.candidates)
        outcome.seconds = time.monotonic() - self.started
        if chosen is not None and chosen.path is not None:
            _copy(self.job.output / chosen.path, self.job.output / "best.tflite")
        self.listener.found(outcome)

    # -- steps ---------------------------------------------------------------------------------

    def _original(self) -> Candidate:
        path = self.job.output / "candidates" / "float32.tflite"
        _copy(self.job.model, path)
        candidate = Candidate(ORIGINAL_SCHEME, ORIGINAL_SCHEME, path=self._relative(path))
        self._measure(candidate, path)
        if candidate.failure is not None:
            raise ModelError(f"The float model does not run: {candidate.failure}")
        return candidate

    def _candidate(self, name: str, scheme: str, interface: str) -> Candidate:
        wanted = find_scheme(scheme, interface)
        candidate = Candidate(name, scheme, [wanted.summary], interface=interface, layout=self.job.layout)
        path = self.job.output / "candidates" / f"{name}.tflite"
        try:
            self._make(candidate, wanted, path)
        except TightfitError as error:
            candidate.failure = str(error)
            return candidate
        candidate.path = self._relative(path)
        self._measure(candidate, path)
        return candidate

    def _make(self, candidate: Candidate, scheme: Scheme, path: Path) -> None:
        seen = self._calibration()
        observers = {} if self.job.observer is None else dict.fromkeys(("int8", "int16"), self.job.observer)
        plan = make_plan(self.source.model, scheme, Ranges([seen.statistics], observers))
        written = write_plan(self.source, plan, path, target=self.job.layout, probes=seen.probes)
        candidate.steps += [f"layout: {name} ({count} ops)" for name, count in written.layout.items()]
        candidate.steps += written.notes
        candidate.plan_summary = summarize(plan)

    def _measure(self, candidate: Candidate, path: Path) -> None:
        count = len(self.evaluating)
        self.listener.stage(f"{candidate.name}: accuracy on {count} samples", count)
        self.bench.accuracy(candidate, path, self.listener.advance)
        self.listener.stage(f"{candidate.name}: latency, size, error per layer", 1)
        if candidate.failure is None:
            self.bench.costs(candidate, path)
        self.listener.advance(1, 1)

    def _calibration(self) -> Calibration:
        if self.calibrated is None:
            count = len(self.calibrating)
            self.listener.stage(f"calibrating on {count} samples", count)
            samples = (s.inputs for s in self.calibration_set.samples(self.calibrating))
            self.calibrated = calibrate(self.source.model, samples, progress=_Steps(self.listener, count))
        return self.calibrated

    def remove_traces(self) -> None:
        """Takes back what was written before the float model was measured."""
        folder = self.job.output
        (folder / "candidates" / "float32.tflite").unlink(missing_ok=True)
        for path in (folder / "candidates", folder):
            with contextlib.suppress(OSError):  # not empty: an earlier search's files stay
                path.rmdir()

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
            described["image"] = str(self.job.image)
        return described

    def _facts(self) -> dict[str, Any]:
        job = self.job
        return {
            "model": file_sha256(job.model),
            "data": [self.dataset.fingerprint(), self.calibration_set.fingerprint()],
            "versions": [version("ai-edge-litert"), _own_version()],
            "settings": [str(job.image), job.calibration, job.evaluation, job.seed, job.metric, job.threads],
            "layout": [job.layout, job.observer],
        }


class _Steps:
    """Counts calibration samples for the listener."""

    def __init__(self, listener: Listener, total: int) -> None:
        self.listener, self.total, self.done = listener, total, 0

    def __call__(self) -> None:
        self.done += 1
        self.listener.advance(self.done, self.total)


def _own_version() -> str:
    from tightfit import __version__  # noqa: PLC0415 - the package's root imports nothing early

    return __version__


def _recipes(names: Sequence[str]) -> tuple[tuple[str, str, str], ...]:
    known = [r[0] for r in RECIPES]
    unknown = [n for n in names if n not in known]
    if unknown:
        raise OptionError(f"Unknown candidate '{unknown[0]}'. Known: {', '.join(known)}.")
    return tuple(r for r in RECIPES if not names or r[0] in names)


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


def _prepare_folder(folder: Path) -> None:
    try:
        (folder / "candidates").mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / ".writable"):
            pass
        (folder / ".writable").unlink()
    except OSError as error:
        raise OptionError(f"Cannot write into '{folder}': {error.strerror}. Choose another folder with -o.") from error


def _copy(source: Path, target: Path) -> None:
    """Copies a file whole or not at all."""
    if source.resolve() == target.resolve():
        return
    with source.open("rb") as data, atomic_file(target) as file:
        shutil.copyfileobj(data, file)

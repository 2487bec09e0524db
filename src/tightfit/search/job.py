"""What a search is asked for and what it finds, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from tightfit.data.images.image_options import ImageOptions
from tightfit.evaluation.accuracy import Asked, wanted_metrics
from tightfit.evaluation.metrics.spelling import Wanted, combine, parse_metrics
from tightfit.kinds import DataLike
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.devices.device_file import NamedDevice
from tightfit.search.verdict.budget import Budget
from tightfit.streaming.slice_axes import NamedSlices

DONE: Final = "done"
INTERRUPTED: Final = "interrupted"
OUT_OF_TIME: Final = "out of time"


class Listener(Protocol):
    """Is called as the search goes on; the command line draws bars with it."""

    def stage(self, name: str, total: int) -> None:
        """A new piece of work of ``total`` steps begins."""

    def advance(self, done: int, total: int) -> None:
        """Steps of the piece are done."""

    def found(self, outcome: Outcome) -> None:
        """A candidate is finished; the outcome so far."""


class NullProgress:
    """A progress callback that does nothing."""

    def stage(self, name: str, total: int) -> None:
        """Ignore a stage."""

    def advance(self, done: int, total: int) -> None:
        """Ignore a step."""

    def found(self, outcome: Outcome) -> None:
        """Ignore a result."""


@dataclass
class Job:
    """What is to be optimized, by what data, for which budget.

    Args:
        model: the file to optimize.
        data: the samples.
        output: folder for the results.
        image: how image files become arrays.
        budget: the limits.
        calibration_data: samples of their own to calibrate with; by default they are split off ``data``.
        calibration: samples to calibrate with.
        evaluation: samples to evaluate at most, None for all left.
        seed: of the split into calibration and evaluation samples.
        metric: see ``evaluation.accuracy.evaluate``; metrics with a limit of their own are measured too.
        threads: for latency; accuracy uses what is there.
        layout: key of ``quantization.layouts.LAYOUTS``; None for ``cpu``, or the target's.
        observer: key of ``OBSERVERS``; None for one by integer type.
        recipes: names of ``recipes.recipes()`` to try; empty: those of the effort.
        effort: one of ``EFFORTS``: when to spend time on rounding with data.
        fresh: measure everything again, whatever the journal says.
        provenance: False leaves it out of the files.
        slices: slices of outputs that the user named.
        devices: boards that the files are measured on.
        read: other files that the command reads, by what messages call them.
        signature: the entry point that is optimized, where the model has several.
    """

    model: Path
    data: DataLike
    output: Path
    image: ImageOptions | None = None
    budget: Budget = field(default_factory=Budget)
    calibration_data: DataLike | None = None
    calibration: int = 100
    evaluation: int | None = None
    seed: int = 0
    metric: Asked = "auto"
    threads: int = 1
    layout: str | None = None
    observer: str | None = None
    recipes: Sequence[str] = ()
    effort: str = "normal"
    fresh: bool = False
    provenance: bool = True
    slices: tuple[NamedSlices, ...] = ()
    devices: tuple[NamedDevice, ...] = ()
    read: Mapping[str, Path] = field(default_factory=dict)
    signature: str | None = None

    def __post_init__(self) -> None:
        """Take a path as text too."""
        self.output = Path(self.output)
        if isinstance(self.model, str):
            self.model = Path(self.model)

    def metrics(self) -> list[Wanted]:
        """Every metric that is measured, the main one first.

        Raises:
            OptionError: one is unknown.
        """
        limited = [w for name in self.budget.max_drops for w in parse_metrics(name)]
        return combine(wanted_metrics(self.metric), limited)


@dataclass
class Outcome:
    """What a search found.

    Args:
        candidates: the original first. best, pareto: names.
        finished: False while it goes on or was cut off.
        devices: board → ``machine`` or ``failure``, and ``best``, the candidate for it.
        not_tried: reason → names of the candidates that were left out for it.
        ending: ``DONE``, ``INTERRUPTED``, or ``OUT_OF_TIME`` where the time ended before anything was tried.
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
    devices: dict[str, dict[str, object]] = field(default_factory=dict)
    ending: str = DONE
    not_tried: dict[str, list[str]] = field(default_factory=dict)

    def chosen(self) -> Candidate | None:
        """The candidate that was chosen."""
        return next((c for c in self.candidates if c.name == self.best), None)

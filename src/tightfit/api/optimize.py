"""Try schemes, recoveries and smaller models, measure each, choose: the main verb."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tightfit.api.arguments import Drops, Image, image_options, parse_drops, parse_latency, parse_size
from tightfit.conversion.load_model import open_model
from tightfit.evaluation.accuracy import Asked
from tightfit.report.collecting import report_of, write_report
from tightfit.report.report import Report
from tightfit.search.job import Job, Listener, NullProgress, Outcome
from tightfit.search.run import search
from tightfit.search.verdict.budget import Budget
from tightfit.search.verdict.checks import check_job
from tightfit.search.verdict.judged_drop import INTERVAL
from tightfit.targets.profile import find_target

_LOG: Final = logging.getLogger("tightfit")


def optimize(  # noqa: PLR0913 - the options of one command
    model: Any,
    data: Any = None,
    output: str | Path | None = None,
    *,
    max_drop: Drops = 0.01,
    max_size: int | str | None = None,
    max_zip: int | str | None = None,
    max_latency: float | str | None = None,
    target: str | None = None,
    target_memory: int | str | None = None,
    min_accelerated: float = 0.9,
    minutes: float | None = None,
    judge: str = INTERVAL,
    confident: bool = False,
    effort: str = "normal",
    only: Sequence[str] = (),
    metric: Asked = "auto",
    image: Image = None,
    calibration_data: Any = None,
    calibration: int = 100,
    evaluation: int | None = None,
    seed: int = 0,
    threads: int = 1,
    layout: str | None = None,
    observer: str | None = None,
    fresh: bool = False,
    provenance: bool = True,
    progress: Listener | None = None,
) -> Report:
    """Return the report of a search for the smallest, fastest file of a model within a budget.

    Writes ``best.tflite``, ``candidates/``, ``report.json`` and ``report.html``; the best file so far is
    always on disk, and the same call goes on where one was stopped.

    Args:
        model: a path, ``module:attribute``, or a Keras, torch or ONNX model.
        data: a path or ``module:function`` as on the command line, or arrays, ``(x, y)``, a dict by input
            name, a list, a function that returns an iterable, a loader, or a ``tightfit.Dataset``.
        output: folder for the results; None: a temporary one that is kept, see ``Report.folder``.
        max_drop: accuracy that may be lost, a fraction (0.01 is one point), or a limit for each metric.
        max_size: bytes, or text such as ``"1MB"``.
        max_zip: bytes of the file packed as zip.
        max_latency: ms a call on this machine, or text: ``"12ms"``, ``"0.8x"`` of the original's.
        target: device that must take the file, such as ``ethos-u55-128``.
        target_memory: bytes of the device, where they are not the target's.
        min_accelerated: least fraction of the MACs that the target accelerates, 0 to 1.
        minutes: no new candidate is started after this time.
        judge: ``interval``: the drop's 95 % interval must lie within ``max_drop``; ``estimate``: the drop.
        confident: reject what is not surely within the budget instead of leaving it open.
        effort: ``quick``, ``normal`` or ``thorough``.
        only: names of candidates to try, such as ``int8``.
        metric: ``auto``, names with commas between them, a function of (outputs, labels), or several.
        image: how image files become arrays: ``ImageOptions``, its text, or a dict.
        calibration_data: samples to calibrate with; by default they are split off ``data``.
        calibration: number of calibration samples.
        evaluation: most evaluation samples; None for all that are left.
        seed: of the split.
        threads: for latency.
        layout: ``cpu``, ``npu`` or ``micro``; None for the target's.
        observer: how ranges follow from calibration.
        fresh: measure everything again.
        provenance: False leaves the recipe out of the files.
        progress: has ``stage(name, total)``, ``advance(done, total)`` and ``found(outcome)``.

    Returns:
        The report; ``report.chosen`` is the file that ships.

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.
    """
    if isinstance(model, Job):
        return _run(model, progress or data)
    latency, ratio = parse_latency(max_latency)
    drop, drops = parse_drops(max_drop)
    budget = Budget(
        max_drop=drop,
        max_drops=drops,
        judge=judge,
        max_size=parse_size(max_size),
        max_zip=parse_size(max_zip),
        max_latency=latency,
        max_latency_ratio=ratio,
        minutes=minutes,
        confident=confident,
        target=None if target is None else find_target(target).name,
        target_memory=parse_size(target_memory),
        min_accelerated=min_accelerated,
    )
    job = Job(
        model=model,
        data=data,
        output=Path(tempfile.mkdtemp(prefix="tightfit-out-") if output is None else output),
        image=image_options(image),
        budget=budget,
        calibration_data=calibration_data,
        calibration=calibration,
        evaluation=evaluation,
        seed=seed,
        metric=metric,
        threads=threads,
        layout=layout,
        observer=observer,
        recipes=tuple(only),
        effort=effort,
        fresh=fresh,
        provenance=provenance,
    )
    return _run(job, progress)


def _run(job: Job, progress: Listener | None) -> Report:
    """Return the report of a job."""
    check_job(job)
    job = replace(job, model=open_model(job.model))
    report = report_of(search(job, _Progress(progress)))
    report.folder = str(job.output)
    return report


class _Progress:
    """Writes the report after each candidate, logs each stage, and passes both on."""

    def __init__(self, inner: Listener | None) -> None:
        self.inner: Listener = inner or NullProgress()

    def stage(self, name: str, total: int) -> None:
        """Log a stage."""
        _LOG.info("%s", name)
        self.inner.stage(name, total)

    def advance(self, done: int, total: int) -> None:
        """Pass a step on."""
        self.inner.advance(done, total)

    def found(self, outcome: Outcome) -> None:
        """Write the report so far."""
        write_report(report_of(outcome), outcome.job.output)
        self.inner.found(outcome)

"""Try schemes, recoveries and smaller models, measure each, choose: the main verb."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tightfit.api.parameters.arguments import (
    Drops,
    Image,
    Size,
    image_options,
    parse_drops,
    parse_latency,
    parse_size,
)
from tightfit.api.parameters.signature_data import single_signature
from tightfit.api.progress.tracking import ProgressLike, Tracker, tracked
from tightfit.conversion.open_model import open_model
from tightfit.data.sources import check_data
from tightfit.distributed.options import RayCluster
from tightfit.errors import OptionError
from tightfit.evaluation.accuracy import Asked
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.paths import require_folder
from tightfit.pipeline.source import open_source
from tightfit.report.collecting import report_of, write_report
from tightfit.report.page.details import details_of
from tightfit.report.report import Report
from tightfit.search.devices.device_file import read_devices
from tightfit.search.job import Job, Listener, Outcome
from tightfit.search.run import search
from tightfit.search.run_file import read_run, refuse_functions, run_facts
from tightfit.search.search_samples import open_samples
from tightfit.search.verdict.budget import Budget
from tightfit.search.verdict.job_checks import check_job
from tightfit.search.verdict.judged_drop import INTERVAL
from tightfit.spoken import verb
from tightfit.streaming.slice_axes import NamedSlices, named_slices
from tightfit.targets.profile import find_target


@verb(target_memory="memory")
def optimize(  # noqa: PLR0913 - the options of one command
    model: ModelLike | Job | None = None,
    data: DataLike | None = None,
    output: Pathlike | None = None,
    *,
    max_drop: Drops = 0.01,
    max_size: Size = None,
    max_zip: Size = None,
    max_latency: float | str | None = None,
    target: str | None = None,
    memory: Size = None,
    min_accelerated: float = 0.9,
    minutes: float | None = None,
    judge: str = INTERVAL,
    confident: bool = False,
    effort: str = "normal",
    only: str | Sequence[str] = (),
    metric: Asked = "auto",
    image: Image = None,
    calibration_data: DataLike | None = None,
    calibration: int = 100,
    evaluation: int | None = None,
    seed: int = 0,
    threads: int = 1,
    layout: str | None = None,
    observer: str | None = None,
    fresh: bool = False,
    provenance: bool = True,
    slices: str | Sequence[NamedSlices | str] = (),
    run: Pathlike | None = None,
    trust_code: bool = False,
    cluster: RayCluster | str | None = None,
    devices: str | Path | None = None,
    signature: str | None = None,
    progress: ProgressLike = None,
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
        memory: bytes of the device, where they are not the target's.
        min_accelerated: least fraction of the MACs that the target accelerates, 0 to 1.
        minutes: no new candidate is started after this time.
        judge: ``interval``: the drop's 95 % interval must lie within ``max_drop``; ``estimate``: the drop.
        confident: reject what is not surely within the budget instead of leaving it open.
        effort: ``quick``, ``normal`` or ``thorough``.
        only: names of candidates to try, such as ``"int8"`` or ``["int8", "int8+gptq"]``.
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
        slices: slices of outputs that must each be kept, as ``"out=-1:0-4=boxes"``.
        run: a ``tightfit.toml`` or ``report.json``, whose search is repeated; model, data and output may be
            given beside it, nothing else.
        trust_code: True lets functions run that only the run file names.
        cluster: where the work is done: None for this process, ``"ray"``, ``"ray://HOST:10001"`` or a
            ``tightfit.RayCluster``.
        devices: a ``devices.toml`` with boards; the report has the latency and the choice for each of them.
        signature: the entry point that is optimized, where the model has several; the files have it alone.
        progress: see ``tightfit.Progress``; ``found(outcome)`` is called after each candidate.

    Returns:
        The report; ``report.chosen`` is the file that ships.

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.

    Example:
        ``tightfit.optimize("model.tflite", "samples.npz", "out", max_drop=0.01)``
    """
    if isinstance(model, Job):
        listener: Any = data if progress is None else progress
        return _run(model, listener, cluster)
    if run is not None:
        known = read_run(run)
        given: dict[str, Any] = {"model": model, "data": data, "output": output, "progress": progress}
        given |= {"cluster": cluster, "devices": devices}
        given = {k: v for k, v in given.items() if v is not None}
        if not trust_code:
            refuse_functions(known, given, run)
        return optimize(**known | given)
    if model is None:
        raise OptionError("Received no model for optimize; expected a path, an object, or run=….")
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
        target_memory=parse_size(memory),
        min_accelerated=min_accelerated,
    )
    source: Any = model
    job = Job(
        model=source,
        data=_given(data),
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
        recipes=tuple(filter(None, only.split(","))) if isinstance(only, str) else tuple(only),
        effort=effort,
        fresh=fresh,
        provenance=provenance,
        slices=named_slices(slices),
        devices=() if devices is None else read_devices(devices),
        read={} if devices is None else {"file of devices": Path(devices)},
        signature=signature,
    )
    return _run(job, progress, cluster)


def _given(data: DataLike | None) -> DataLike:
    """Return the data.

    Raises:
        OptionError: there is none.
    """
    if data is None:
        raise OptionError(
            "Received no data for optimize; expected samples: a path, module:function, arrays or a loader."
        )
    return data


def _run(job: Job, progress: ProgressLike, cluster: RayCluster | str | None) -> Report:
    """Return the report of a job."""
    check_job(job)
    check_data(job.data, job.calibration_data)
    require_folder(Path(job.output))
    run = run_facts(job)
    job = replace(job, model=single_signature(open_model(job.model), job.signature))
    with tracked(progress) as tracker:
        found = _search_on(cluster, job, _Reporting(tracker, run))
        report = replace(report_of(found, run), folder=str(job.output))
        if cluster is not None or not report.finished or report.path is None or not report.path.is_file():
            return report
        tracker.stage("details of the chosen file", 0)
        report = replace(report, details=_details(job, report.path, report.seconds or 0.0))
    write_report(report, job.output)
    return report


def _details(job: Job, chosen: Path, seconds: float) -> dict[str, object]:
    """Return what the page says of the chosen file, from the samples that evaluated."""
    samples = open_samples(job, open_source(job.model))
    return details_of(job.model, chosen, samples.dataset.samples(samples.evaluating), seconds=seconds)


def _search_on(cluster: RayCluster | str | None, job: Job, listener: Listener) -> Outcome:
    """Return what a search finds, on this machine or on a cluster; Ray is not imported before."""
    if cluster is None:
        return search(job, listener)
    from tightfit.distributed.search import search_on  # noqa: PLC0415 - loads what only a cluster needs

    return search_on(cluster, job, listener)


class _Reporting:
    """Writes the report after each candidate, and passes everything on."""

    def __init__(self, inner: Tracker, run: dict[str, object]) -> None:
        self.inner, self.run = inner, run

    def stage(self, name: str, total: int) -> None:
        """Pass a stage on."""
        self.inner.stage(name, total)

    def advance(self, done: int, total: int) -> None:
        """Pass a step on."""
        self.inner.advance(done, total)

    def found(self, outcome: Outcome) -> None:
        """Write the report so far."""
        write_report(report_of(outcome, self.run), outcome.job.output)
        self.inner.found(outcome)

"""``tightfit optimize``: the search for the best file within a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tightfit.api.optimize import optimize as run_optimize
from tightfit.api.parameters.arguments import parse_drops, parse_latency, parse_size
from tightfit.api.progress.terminal_bars import Bars
from tightfit.cli.options import completions
from tightfit.cli.options.choices import EFFORTS, LAYOUTS, OBSERVERS, Names
from tightfit.cli.options.ray_options import RUN_FILE, chosen_cluster, cluster_options
from tightfit.cli.options.shared_options import (
    data_options,
    json_option,
    metric_option,
    parse_slices,
    provenance_option,
    seed_option,
    signature_option,
    slices_option,
    target_options,
    threads_option,
)
from tightfit.cli.terminal.console import console
from tightfit.cli.terminal.streams import INTERRUPTED
from tightfit.data.images.image_options import ImageOptions
from tightfit.report.gate import compare_reports, markdown, write_gate
from tightfit.report.report import Report, read_report
from tightfit.report.sentences import ending_sentence
from tightfit.report.text import summary
from tightfit.search.candidates.recipes import recipes
from tightfit.search.devices.device_file import read_devices
from tightfit.search.job import Job
from tightfit.search.run_file import read_run, refuse_functions
from tightfit.search.verdict.budget import Budget
from tightfit.targets.profile import find_target


def _take_run(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    """Make the values of a run file the defaults of the other options."""
    del parameter
    if value is not None:
        context.default_map = read_run(value)
        context.meta[RUN_FILE] = value


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_take_run,
    help="Repeat the search of a tightfit.toml or report.json; other options take precedence.",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    help="An earlier report.json: exit code 1 where the chosen file is worse; writes gate.md and gate.xml.",
)
@data_options(required=True)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the results."
)
@click.option(
    "--calibration-data",
    metavar="DATA",
    help="Separate samples for calibration; by default a part of --data.",
)
@click.option(
    "--max-drop",
    metavar="NUMBER|METRIC=NUMBER,…",
    default="0.01",
    show_default=True,
    help="Largest drop: 0.01 is one point of a share, 1 % of an error; or of each metric, as "
    "map50=0.01,top1@class=0.005,rmse=5%.",
)
@click.option("--max-size", metavar="SIZE", help="Largest file, such as 5MB; a number of bytes from 1000 on.")
@click.option(
    "--max-zip",
    metavar="SIZE",
    help="Largest file after zip compression, such as 2MB; a number of bytes from 1000 on.",
)
@click.option(
    "--max-latency",
    metavar="TIME",
    help="Largest latency on this machine, in ms (12ms) or relative to the original (0.8x).",
)
@click.option(
    "--minutes",
    type=float,
    help="Time limit in minutes; no new candidate is started after it. Unlimited by default.",
)
@click.option(
    "--judge",
    type=click.Choice(["interval", "estimate"]),
    default="interval",
    show_default=True,
    help="What must lie within --max-drop: the drop's 95 % interval, or its estimate.",
)
@click.option(
    "--confident",
    is_flag=True,
    help="Reject what is not surely within --max-drop instead of leaving it open.",
)
@click.option(
    "--calibration", default=100, show_default=True, type=click.IntRange(1), help="Calibration samples."
)
@click.option(
    "--evaluation",
    type=click.IntRange(1),
    help="Evaluation samples; by default all that are not used for calibration.",
)
@metric_option
@target_options
@click.option(
    "--min-accelerated",
    type=click.FloatRange(0, 1),
    default=0.9,
    show_default=True,
    help="Least fraction of the multiply-accumulates that the target accelerates, 0 to 1.",
)
@click.option(
    "--layout",
    type=Names("layout", LAYOUTS),
    help="File layout: cpu, npu or micro; by default the target's, else cpu.",
)
@click.option(
    "--observer",
    type=Names("observer", OBSERVERS, more=True),
    help="Calibration observer: minmax, moving-average, percentile[:99.99], mse or entropy; "
    "by default one for each integer type.",
)
@click.option(
    "--effort",
    type=Names("effort", EFFORTS),
    default="normal",
    show_default=True,
    help="Extent of the search: quick, normal or thorough.",
)
@slices_option
@signature_option
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    shell_complete=completions.candidates,
    help="Candidates to try, such as int8,int8+gptq; may be repeated.",
)
@click.option(
    "--devices",
    "device_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Boards as a TOML file; files are measured on each, with a choice for each and for all.",
)
@cluster_options
@click.option("--fresh", is_flag=True, help="Measure all candidates again instead of resuming.")
@provenance_option
@threads_option
@seed_option
@json_option
def optimize(model: Path, as_json: bool, **options: Any) -> int:
    """Find the smallest, fastest .tflite of MODEL within a budget, and write a report.

    Candidates (schemes, recoveries, smaller models) are written, run on LiteRT and compared with MODEL. The
    command can be interrupted; the same command resumes. Exit code 1: no candidate meets the budget.
    """
    _refuse_functions(click.get_current_context(), trust=options["trust_code"])
    baseline = None if options["baseline"] is None else read_report(options["baseline"])
    options["only"] = tuple(name for words in options["only"] for name in words.split(",") if name)
    job = job_of(model, options)
    cluster = chosen_cluster(options)
    pieces = 1 + 2 * (1 + len(options["only"] or recipes()))
    with Bars(pieces, quiet=as_json) as bars:
        report = run_optimize(job, progress=bars, cluster=cluster)
    if as_json:
        click.echo(report.to_json())
    else:
        console().print(summary(report))
        click.echo(f"\n{ending_sentence(report, job.output)}")
    if not report.finished:
        return INTERRUPTED
    if baseline is not None:
        return _gate(baseline, report, job.output, as_json=as_json)
    tried = report.tried > 0 and not report.all_failed
    return 0 if report.meets_budget and (tried or (not report.tried and report.budget.is_empty)) else 1


def _refuse_functions(context: click.Context, *, trust: bool) -> None:
    """Check that every function was spelled in the command, or is trusted."""
    run = context.meta.get(RUN_FILE)
    if run is None or trust:
        return
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [n for n, source in sources.items() if source is not ParameterSource.DEFAULT_MAP]
    refuse_functions(context.default_map or {}, given, run)


def _gate(baseline: Report, report: Report, folder: Path, *, as_json: bool) -> int:
    """Compare with the baseline; write and print the result."""
    checks = compare_reports(baseline, report)
    write_gate(checks, str(report.model.get("name", "model")), folder)
    if not as_json:
        click.echo(f"\n{markdown(checks)}")
    return 0 if all(check.passed for check in checks) else 1


def job_of(model: Path, options: dict[str, Any]) -> Job:
    """Return the search that a command asks for.

    Raises:
        TightfitError: an option is not understood.
    """
    latency, ratio = parse_latency(options["max_latency"])
    max_drop, max_drops = parse_drops(options["max_drop"])
    budget = Budget(
        max_drop=max_drop,
        max_drops=max_drops,
        judge=options["judge"],
        max_size=parse_size(options["max_size"]),
        max_zip=parse_size(options["max_zip"]),
        max_latency=latency,
        max_latency_ratio=ratio,
        minutes=options["minutes"],
        confident=options["confident"],
        target=None if options["target"] is None else find_target(options["target"]).name,
        target_memory=parse_size(options["memory"]),
        min_accelerated=options["min_accelerated"],
    )
    image = ImageOptions.parse(options["image"]) if options["image"] else None
    names = (
        "data",
        "output",
        "calibration_data",
        "calibration",
        "evaluation",
        "metric",
        "layout",
        "observer",
        "effort",
        "signature",
    )
    chosen = {n: options[n] for n in (*names, "fresh", "threads", "seed", "provenance")}
    slices = parse_slices(options["slices"])
    if options["device_file"] is not None:
        chosen["devices"] = read_devices(options["device_file"])
    read = {"baseline": options["baseline"], "file of devices": options["device_file"]}
    chosen["read"] = {what: path for what, path in read.items() if path is not None}
    return Job(model=model, image=image, budget=budget, recipes=options["only"], slices=slices, **chosen)

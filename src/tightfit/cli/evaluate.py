"""``tightfit evaluate`` and ``benchmark``: the commands that measure files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table

from tightfit.api.evaluate import benchmark as run_benchmark
from tightfit.api.evaluate import evaluate as run_evaluate
from tightfit.api.progress.terminal_bars import Bars
from tightfit.cli.options.ray_options import trust_option
from tightfit.cli.options.shared_options import (
    data_options,
    json_option,
    metric_option,
    parse_slices,
    signature_option,
    slices_option,
    threads_option,
)
from tightfit.cli.terminal.accuracy_view import metric_tables
from tightfit.cli.terminal.console import console, name_room
from tightfit.cli.terminal.quality_view import quality_lines
from tightfit.data.images.image_options import ImageOptions
from tightfit.distributed.options import RayCluster, is_cluster
from tightfit.errors import OptionError, printable
from tightfit.evaluation.devices.ssh_device import Device
from tightfit.plain_values import json_text
from tightfit.runtime.native.op_profile import OpTime
from tightfit.units import format_bytes, format_percent

_MOST_OPS = 20
_NAME: Final = 20
"""Columns of a model's name where numbers need the other 60."""
_PYTHON: Final = "python3"
_config_option = click.option(
    "--ssh-config", type=click.Path(path_type=Path), help="ssh configuration file instead of the default one."
)
_python_option = click.option(
    "--remote-python",
    metavar="COMMAND",
    default=_PYTHON,
    show_default=True,
    help="Python command on the device.",
)


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@data_options(required=True)
@metric_option
@click.option("--limit", type=click.IntRange(1), help="Largest number of samples; by default all.")
@slices_option
@signature_option
@click.option(
    "--on",
    metavar="PLACE",
    help="Where MODELS run: arm or arm:CORE (emulated), gpu, phone (float16, simulated), ssh://USER@HOST, "
    "adb://SERIAL, or on workers of Ray: ray (this machine), ray://HOST:10001 or HOST:6379.",
)
@trust_option("--data and --metric")
@_config_option
@_python_option
@json_option
def evaluate(models: tuple[Path, ...], as_json: bool, **options: Any) -> int:
    """Measure the accuracy of MODELS on the data, with the paired change from the first (− is worse).

    With --on, also how far the outputs at that place are from those on this computer. Exit code 1: a model
    fails, or has an output that is of no use beside the first model's.
    """
    image = ImageOptions.parse(options["image"]) if options["image"] else None
    with Bars(quiet=as_json) as bars:
        metric, limit = options["metric"], options["limit"]
        results = run_evaluate(
            models,
            options["data"],
            image=image,
            metric=metric,
            limit=limit,
            progress=bars,
            slices=parse_slices(options["slices"]),
            signature=options["signature"],
            on=_cluster(options) or _place(options["on"], options["ssh_config"], options["remote_python"]),
        )
    if as_json:
        named = zip(models, results.rows(), strict=True)
        click.echo(json_text([row | {"path": str(path)} for path, row in named]))
        return 0 if results.usable else 1
    console().print(*metric_tables([path.name for path in models], results), sep="\n")
    for path, result in zip(models[1:], results[1:], strict=True):
        for line in quality_lines(result.outputs):
            click.echo(f"{path.name}: {line}")
    for note in results.notes:
        click.echo(f"note: {note}")
    return 0 if results.usable else 1


def _cluster(options: dict[str, Any]) -> RayCluster | None:
    """The cluster of --on, where it names one."""
    if is_cluster(options["on"]):
        return RayCluster(options["on"], trust_code=options["trust_code"])
    if options["trust_code"]:
        raise OptionError("Received --trust-code without a cluster; add --on ray://HOST:10001.")
    return None


def _place(on: str | None, config: Path | None, python: str) -> Device | str | None:
    """The place of --on; only an address of ssh has a configuration."""
    if on is None or not on.startswith("ssh:"):
        given = "--remote-python" if python != _PYTHON else "--ssh-config"
        if config is not None or python != _PYTHON:
            raise OptionError(
                f"Received {given} without --on ssh://user@host, which it belongs to. Give both."
            )
        return on
    if config is not None and (config.is_dir() or not config.exists()):
        raise OptionError(f"Received --ssh-config {config}, which is no file; expected one as ssh -F reads.")
    return Device.parse(on, config=config, python=python)


def _narrow(*columns: str) -> Table:
    """A table that keeps within 80 columns: the model's name gives way, numbers never wrap."""
    table = Table("model", box=None, padding=(0, 1, 0, 0))
    name = table.columns[0]
    name.no_wrap, name.overflow, name.max_width = True, "ellipsis", name_room(_NAME)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _span(low: float | None, high: float | None, digits: int) -> str:
    return f"{_number(low, digits)}…{_number(high, digits)}"


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--rounds",
    default=50,
    show_default=True,
    type=click.IntRange(6),
    help="Most rounds; each runs all models once.",
)
@click.option(
    "--seconds", default=30.0, show_default=True, type=float, help="Time limit of all rounds, in seconds."
)
@click.option(
    "--on",
    metavar="PLACE",
    help="Measure latency there: ssh://USER@HOST, adb://SERIAL, or gpu, on this computer.",
)
@_config_option
@_python_option
@click.option("--per-op", is_flag=True, help="Also show the time of each op on this machine, slowest first.")
@threads_option
@signature_option
@json_option
def benchmark(models: tuple[Path, ...], as_json: bool, **options: Any) -> int:
    """Measure MODELS interleaved: latency (ms), peak memory, size on disk and compressed (bytes).

    With --on, latency and memory are of a Linux device that ssh reaches by a key; it needs Python 3.11 and
    ai-edge-litert, nothing else.
    """
    url, config, python = options.pop("on"), options.pop("ssh_config"), options.pop("remote_python")
    device = _place(url, config, python)
    results = run_benchmark(models, on=device, **options)
    where = results[0].machine
    if as_json:
        rows = [{k: v for k, v in asdict(r).items() if k != "machine" and (k != "ops" or v)} for r in results]
        click.echo(json_text({"machine": where, "models": rows}))
        return 0
    costs = _narrow("median ms", "quartiles", "ratio", "95 %", "memory")
    bytes_of = _narrow("on disk", "as zip", "as zstd")
    for path, r in zip(models, results, strict=True):
        t, f = r.latency, r.footprint
        bytes_of.add_row(path.name, *map(format_bytes, (f.size_bytes, f.zip_bytes, f.zstd_bytes)))
        if t.reason:
            costs.add_row(path.name, "-", t.reason)
            continue
        memory = "-" if t.peak_memory_bytes is None else format_bytes(t.peak_memory_bytes)
        spans = _span(t.low_ms, t.high_ms, 2), _span(t.ratio_low, t.ratio_high, 2)
        costs.add_row(path.name, _number(t.median_ms, 2), spans[0], _number(t.ratio, 2), spans[1], memory)
    console().print(costs, "", bytes_of, sep="\n")
    for result in results:
        if result.ops:
            console().print("", _op_times(result.ops), sep="\n")
    if device is not None:
        click.echo(f"latency and memory: {where['on']} ({where['cpu'] or where['arch']}, {where['os']})")
    return 0


def _op_times(ops: Sequence[OpTime]) -> Table:
    """Return the slowest ops of one file, each with its time and its share of all."""
    table = Table("op", "ms", "share", box=None, padding=(0, 1, 0, 0))
    total = sum(op.mean_ms for op in ops) or 1.0
    slowest = sorted(ops, key=lambda op: -op.mean_ms)
    for op in slowest[:_MOST_OPS]:
        name = op.kind if op.delegated else f"{op.kind} {printable(op.name, 40)}"
        table.add_row(name, _number(op.mean_ms, 3), format_percent(op.mean_ms / total))
    left = slowest[_MOST_OPS:]
    if left:
        rest = sum(op.mean_ms for op in left)
        table.add_row(f"{len(left)} other ops", _number(rest, 3), format_percent(rest / total))
    return table


def _number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return "-"
    small = 0 < abs(value) < 10.0 ** (1 - digits)
    return f"{value:.2g}" if small else f"{value:.{digits}f}"

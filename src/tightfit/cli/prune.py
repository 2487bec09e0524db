"""``tightfit prune`` and ``tightfit cluster``: one-shot pruning and weight clustering."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tightfit.api.cluster import cluster as run_cluster
from tightfit.api.parameters.shrink_options import ShrinkOptions
from tightfit.api.progress.terminal_bars import Bars, Stages
from tightfit.api.prune import prune as run_prune
from tightfit.cli.options.choices import IMPORTANCES, INITIAL, LAYOUTS, PER, SCHEMES, SCOPES, TYPES, Names
from tightfit.cli.options.shared_options import (
    data_options,
    json_option,
    metric_option,
    provenance_option,
    seed_option,
)
from tightfit.cli.prune_channels import prune_by_channels
from tightfit.cli.terminal.accuracy_view import accuracy_lines
from tightfit.cli.terminal.console import console
from tightfit.cli.terminal.quality import flaw_lines, quality_words
from tightfit.compression.clustering import Clusters
from tightfit.compression.sparsity.pruning import Pruning
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import OptionError
from tightfit.plain_values import strict
from tightfit.units import format_bytes, format_milliseconds, format_percent, format_ratio

if TYPE_CHECKING:
    from tightfit.api.parameters.shrink_options import ShrinkOptions
    from tightfit.api.results.compression_result import CompressionResult

_CHANNEL = "channel"
_OWN = ("layout", "interface", "scheme", "calibration", "seed", "provenance", "metric")


def _shared(function: Any) -> Any:
    """Add the options of both commands."""
    for option in (
        click.option("--scheme", type=Names("scheme", ("float", *SCHEMES)), default="float",
                     show_default=True, help="Scheme of the file: float, or a quantization scheme."),
        click.option("--io", "interface", type=Names("input/output type", TYPES), default="float32",
                     show_default=True, help="Type of model inputs and outputs: float32, int8, uint8 …"),
        click.option("--layout", type=Names("layout", LAYOUTS), default="cpu", show_default=True,
                     help="File layout."),
        click.option("--calibration", default=100, show_default=True, type=click.IntRange(2),
                     help="Number of calibration samples."),
        metric_option,
        provenance_option,
        seed_option,
        json_option,
    ):  # fmt: skip
        function = option(function)
    return function


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@data_options(required=False, by_signature=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .tflite to write.")
@click.option("--sparsity", type=float, help="Fraction of zeros in the pruned weights: 0.8 is 80 %.")
@click.option("--pattern", default="unstructured", show_default=True,
              help="Pattern of the zeros: unstructured, 2:4, blocks such as 1x4, or channel.")  # fmt: skip
@click.option("--scope", type=Names("scope", SCOPES), default="file", show_default=True,
              help="What has the sparsity: file (all weights in tensors of 256 elements or more), "
              "layer (each pruned layer) or global (the pruned layers together).")  # fmt: skip
@click.option(
    "--skip", multiple=True, metavar="OP", help="Name or kind of ops that are not pruned; may be repeated."
)
@click.option("--macs", type=float, help="Channels: fraction of the multiply-accumulates to keep, 0 to 1.")
@click.option(
    "--max-size", metavar="SIZE", help="Channels: largest file, in bytes or with a unit, such as 5MB."
)
@click.option(
    "--max-latency", metavar="TIME", help="Channels: largest latency here, in ms (12ms) or relative (0.6x)."
)
@click.option(
    "--importance",
    type=Names("importance", IMPORTANCES),
    help="Channels: importance: magnitude, reconstruction (default with --data) or taylor.",
)
@click.option(
    "--refit/--no-refit",
    default=True,
    help="Channels: refit the remaining weights to the data. On by default.",
)
@click.option("--multiple", default=8, show_default=True, type=click.IntRange(1),
              help="Channels: round each layer's kept channels to a multiple of this number.")  # fmt: skip
@_shared
def prune(model: Path, output: Path, as_json: bool, **options: Any) -> int:
    """Prune MODEL: set weights to zero, or remove whole channels, and write a smaller file.

    With --data, weights count by what they contribute, and those that stay are fitted again. Zeros make the
    file smaller; --pattern channel makes it faster on any device.
    """
    if options["pattern"] == _CHANNEL:
        return _prune_channels(model, output, options, as_json=as_json)

    misplaced = [
        f"--{n.replace('_', '-')}" for n in ("macs", "max_size", "max_latency", "importance") if options[n]
    ]
    if misplaced:
        raise OptionError(f"{', '.join(misplaced)} belong to --pattern channel; give --sparsity here.")
    if options["sparsity"] is None:
        raise OptionError(
            "No sparsity was given. Say how many weights become zero, for example --sparsity 0.8."
        )
    wanted = Pruning(options["sparsity"], options["pattern"], options["scope"], options["skip"])
    with Bars(quiet=as_json) as bars:
        return _show(
            run_prune(model, output, wanted, _options(options), Stages(bars)), model, as_json=as_json
        )


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@data_options(required=False, by_signature=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .tflite to write.")
@click.option("--clusters", required=True, type=int, help="Number of centroids, 2 to 256.")
@click.option(
    "--per",
    type=Names("scope of clusters", PER),
    default="tensor",
    show_default=True,
    help="Scope that shares the centroids: tensor or channel.",
)
@click.option(
    "--initial",
    type=Names("start of centroids", INITIAL),
    default="kmeans++",
    show_default=True,
    help="Centroid initialization: kmeans++, linear or density.",
)
@_shared
def cluster(model: Path, output: Path, as_json: bool, **options: Any) -> int:
    """Cluster the weights of MODEL: each layer uses a few distinct values, so the file compresses well."""
    wanted = Clusters(options["clusters"], options["per"], options["initial"])
    with Bars(quiet=as_json) as bars:
        return _show(
            run_cluster(model, output, wanted, _options(options), Stages(bars)), model, as_json=as_json
        )


def _options(options: dict[str, Any]) -> ShrinkOptions:

    image = ImageOptions.parse(options["image"]) if options["image"] else None
    return ShrinkOptions(data=options["data"], image=image, **{name: options[name] for name in _OWN})


def _prune_channels(model: Path, output: Path, options: dict[str, Any], *, as_json: bool) -> int:

    if options["sparsity"] is not None:
        raise OptionError(
            "--sparsity counts single weights; for --pattern channel give --macs, for example 0.5."
        )
    if options["scheme"] != "float":
        raise OptionError(
            "--pattern channel writes a float file; quantize that with 'tightfit quantize' next."
        )
    budget = {"macs": options["macs"], "size": options["max_size"], "latency": options["max_latency"]}
    given = {n: options[n] for n in ("importance", "data", "image", "seed", "refit", "multiple")}
    given["calibration"] = options["calibration"]
    return prune_by_channels(model, output, budget, given, as_json=as_json)


def _show(result: CompressionResult, model: Path, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(strict(result.to_json()), indent=1, ensure_ascii=False))
    else:
        console().print(as_text(result, model))
    return 1 if result.ruined else 0


def as_text(result: CompressionResult, model: Path) -> Group:
    """Return a result for a person: the model beside the file, how zeros are stored, what is not gained."""
    table = Table("", model.name, result.path.name, "ratio", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    before, after = result.original_size, result.size
    for name, old, new in (
        ("on disk", before.size_bytes, after.size_bytes),
        ("zip", before.zip_bytes, after.zip_bytes),
        ("zstd", before.zstd_bytes, after.zstd_bytes),
        ("peak memory", result.original_latency.peak_memory_bytes, result.latency.peak_memory_bytes),
    ):
        if old is not None and new is not None:
            table.add_row(name, format_bytes(old), format_bytes(new), format_ratio(new / max(old, 1)))
    table.add_row(
        "look-up tables¹",
        "",
        format_bytes(result.lut_bytes),
        format_ratio(result.lut_bytes / before.size_bytes),
    )
    table.add_row(
        "latency", format_milliseconds(result.original_latency.median_ms),
        format_milliseconds(result.latency.median_ms), format_ratio(result.latency.ratio),
    )  # fmt: skip
    lines = [
        *accuracy_lines(result.accuracy),
        f"weights: {format_percent(result.zeros)} zeros, at most {result.values:,} distinct values a tensor",
        quality_words(result.outputs, result.snr_db, result.samples),
        *flaw_lines(result.outputs),
        *_forms(result),
        *[f"note: {note}" for note in result.notes],
        "¹ an estimate for tflite-micro's compression",
    ]
    return Group(table, Text(), *map(Text, lines))


def _forms(result: CompressionResult) -> list[str]:
    """One line for each form that constants are stored in, and for each reason against one."""
    counts: dict[str, int] = {}
    for layer in result.stored:
        key = (layer.reason and f"dense: {layer.reason}") or layer.form
        counts[key] = counts.get(key, 0) + 1
    return [f"stored: {count} as {form}" for form, count in counts.items()]

"""``tightfit prune``: zeros, or fewer channels, in one step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tightfit.api.parameters.arguments import parse_latency, parse_size
from tightfit.api.progress.terminal_bars import Bars, Stages
from tightfit.api.prune import prune as run_prune
from tightfit.api.prune_channels import prune_channels
from tightfit.cli.options.choices import IMPORTANCES, Names
from tightfit.cli.options.shared_options import data_options
from tightfit.cli.options.weight_options import compressed_file_options, compression_options, sparsity_options
from tightfit.cli.terminal.channels_view import pruned_table
from tightfit.cli.terminal.compression_view import show_compression
from tightfit.cli.terminal.console import console
from tightfit.compression.sparsity.pruning import Pruning
from tightfit.conversion.open_model import open_model
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import OptionError
from tightfit.evaluation.latency import compare_latency
from tightfit.plain_values import json_text

_CHANNEL = "channel"


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@data_options(required=False, by_signature=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .tflite to write.")
@sparsity_options("unstructured, 2:4, blocks such as 1x4, or channel")
@click.option(
    "--skip", multiple=True, metavar="OP", help="Name or kind of ops that are not pruned; may be repeated."
)
@click.option("--macs", type=float, help="Channels: fraction of the multiply-accumulates to keep, 0 to 1.")
@click.option(
    "--max-size", metavar="SIZE", help="Channels: largest file, such as 5MB; a number of bytes from 1000 on."
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
@compressed_file_options
def prune(model: Path, output: Path, as_json: bool, **options: Any) -> int:
    """Prune MODEL: set weights to zero, or remove whole channels, and write a smaller file.

    With --data, weights count by what they contribute, and those that stay are fitted again. Zeros make the
    file smaller; --pattern channel makes it faster on any device.
    """
    if options["pattern"] == _CHANNEL:
        return _prune_channels(model, output, options, as_json=as_json)

    own = ("macs", "max_size", "max_latency", "importance")
    misplaced = [f"--{n.replace('_', '-')}" for n in own if options[n] is not None]
    if misplaced:
        raise OptionError(f"{', '.join(misplaced)} belong to --pattern channel; give --sparsity here.")
    if options["sparsity"] is None:
        raise OptionError(
            "No sparsity was given. Say how many weights become zero, for example --sparsity 0.8."
        )
    wanted = Pruning(options["sparsity"], options["pattern"], options["scope"], options["skip"])
    with Bars(quiet=as_json) as bars:
        return show_compression(
            run_prune(model, output, wanted, compression_options(options), Stages(bars)),
            model,
            as_json=as_json,
        )


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
    return _prune_by_channels(model, output, budget, given, as_json=as_json)


def _prune_by_channels(
    model: Path, output: Path, budget: Mapping[str, Any], options: Mapping[str, Any], *, as_json: bool
) -> int:
    """Prunes channels for a command and prints what was done; 1 when the budget is not met.

    Args:
        model: the float model.
        output: the ``.tflite`` to write.
        budget: ``macs`` as a fraction, ``size`` and ``latency`` as the user wrote them, None where not
            given.
        options: what ``api.prune_channels.prune_channels`` takes besides; ``image`` as the user wrote
            it.
        as_json: prints the result as JSON instead of a table.
    """
    image = options.get("image")
    given = dict(options) | {"image": ImageOptions.parse(image) if image else None}
    limits: dict[str, Any] = {
        "macs": budget.get("macs"),
        "max_size": parse_size(budget.get("size")),
        "max_latency": _fraction(model, budget.get("latency")),
    }
    with Bars(quiet=as_json) as bars:
        result = prune_channels(model, output, **limits, **given, progress=Stages(bars))
    if as_json:
        click.echo(json_text(result.to_json()))
    else:
        console().print(pruned_table(result))
    return 0 if result.meets_budget and not result.ruined else 1


def _fraction(model: Path, text: str | None) -> float | None:
    """The share of the model's own latency that a limit such as ``12ms`` or ``0.6x`` is."""
    wanted, ratio = parse_latency(text)
    if wanted is None:
        return ratio
    own = compare_latency([open_model(model)])[0].median_ms
    if own is None or wanted >= own:
        raise OptionError(
            f"Received the latency '{text}', but the model itself takes {own or 0:.2f} ms here; give less."
        )
    return wanted / own

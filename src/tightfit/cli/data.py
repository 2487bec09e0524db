"""``tightfit data``: what was understood of data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from tightfit.api.describe_data import DataDescription, describe_data
from tightfit.api.progress.terminal_bars import Bars
from tightfit.cli.options import completions
from tightfit.cli.options.shared_options import json_option
from tightfit.cli.terminal.console import console
from tightfit.plain_values import json_text


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Model that the data is for.")
@click.option(
    "--image",
    metavar="OPTIONS",
    help="Preprocessing of images, such as size=224,crop=0.875,mean=127,std=128.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="PNG to write: a sheet of the first samples."
)
@click.option(
    "--metric",
    metavar="METRICS",
    shell_complete=completions.metrics,
    default="auto",
    show_default=True,
    help="Metrics, as in evaluate (docs/metrics.md).",
)
@click.option(
    "--limit", default=1000, show_default=True, type=click.IntRange(1), help="Samples that are read."
)
@json_option
def data(data: str, as_json: bool, **options: Any) -> int:
    """Show what is understood of DATA for a model: samples, ranges, labels, metrics, a sheet of samples."""
    with Bars(quiet=as_json) as bars:
        found = describe_data(data, progress=bars, **options)
    if as_json:
        click.echo(json_text(found.to_dict()))
    else:
        show(found)
    return 0


def show(found: DataDescription) -> None:
    """Print a description for a person."""
    click.echo(f"{found.name}: {found.count:,} samples ({found.kind}), {found.read:,} read")
    titles, rows = found.table()
    table = Table(*titles, box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    console().print(table)
    for label in found.labels:
        of = f" of output '{label.output}'" if label.output else ""
        click.echo(f"labels{of}: {label.kind}")
    if not found.labels:
        click.echo("labels: none; what is measured is how far a file answers as the model does")
    if found.classes:
        counts = ", ".join(f"{name}: {count:,}" for name, count in found.classes.items())
        click.echo(f"classes: {counts}")
    click.echo(f"metric auto: {', '.join(found.metrics)}")
    for note in found.notes:
        click.echo(f"note: {note}")
    if found.path is not None:
        click.echo(f"sheet: {found.path}")

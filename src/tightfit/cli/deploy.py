"""``tightfit deploy``: the sources of an application for a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tightfit.api.deploy import ALL
from tightfit.api.deploy import deploy as run_deploy
from tightfit.cli.options.shared_options import json_option
from tightfit.compression.decoding.decode_ops import FORMS
from tightfit.deployment.host_build import VARIABLE
from tightfit.plain_values import json_text

_SHOWN = 10


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--for", "target", default="micro", show_default=True, metavar="NAME", help="micro or a board.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder to write.")
@click.option(
    "--compress",
    multiple=True,
    type=click.Choice([ALL, *FORMS]),
    help="Form of constants that the interpreter expands at run time; smallest tries all. It takes RAM.",
)
@click.option(
    "--name", metavar="NAME", default="model", show_default=True, help="Prefix of files and identifiers."
)
@click.option(
    "--sources",
    type=click.Path(path_type=Path),
    help=f"Folder of tflite-micro's sources, to compile and run the example; else {VARIABLE}.",
)
@json_option
def deploy(model: Path, *, as_json: bool, **options: Any) -> int:
    """Write MODEL as C for a device: array, ops, arena, scales, test vector and an example.

    Exit code 1: the model or its arena does not fit the board, or the example gave other outputs.
    """
    found = run_deploy(
        model,
        options["output"],
        options["target"],
        compress=options["compress"],
        name=options["name"],
        sources=options["sources"],
    )
    if as_json:
        click.echo(json_text(found.to_dict()))
    else:
        _show(found)
    return 0 if found.fits and not found.host.failed else 1


def _show(found: Any) -> None:
    console = Console(highlight=False)
    console.print(Text(f"{found.folder}: {', '.join(found.files)}"), soft_wrap=True)
    for line in found.lines():
        console.print(Text(line), soft_wrap=True)
    table = Table("op", "flash bytes", "RAM bytes", box=None, padding=(0, 2, 0, 0))
    for layer in sorted(found.layers, key=lambda r: r.flash_bytes, reverse=True)[:_SHOWN]:
        table.add_row(layer.op, f"{layer.flash_bytes:,}", f"{layer.ram_bytes:,}")
    console.print(table)

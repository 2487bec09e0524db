"""``tightfit compare``: several runs or devices side by side."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from tightfit.api.compare import compare as run_compare
from tightfit.cli.options.shared_options import json_option
from tightfit.cli.terminal.console import console
from tightfit.plain_values import json_text


@click.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="HTML page to write, such as compare.html."
)
@json_option
def compare(reports: tuple[Path, ...], output: Path | None, *, as_json: bool) -> int:
    """Compare the searches of REPORTS: the choice of each, the best of all, what was asked differently.

    REPORTS are folders of 'optimize' or report.json files. One report of a search on several devices
    compares the devices. The column 'fits' says whether the chosen file is within the budget of its search.
    Exit code 1: no run fits its budget.
    """
    found = run_compare(reports, output)
    if as_json:
        click.echo(json_text(found.to_dict()))
    else:
        titles, rows = found.table()
        table = Table(*titles, box=None)
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        console().print(table)
        for note in found.notes:
            click.echo(note)
        if found.path is not None:
            click.echo(f"\n{found.path} has every candidate and what was asked differently.")
    if found.best is None:
        click.echo("No run fits its budget, so none is best (exit code 1).", err=as_json)
    return 0 if found.best is not None else 1

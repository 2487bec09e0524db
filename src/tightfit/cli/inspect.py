"""``tightfit inspect``: what a file is."""

from __future__ import annotations

from pathlib import Path

import click

from tightfit.api.inspect import inspect as run_inspect
from tightfit.cli.options.shared_options import json_option
from tightfit.cli.terminal.console import console
from tightfit.cli.terminal.inspect_view import inspection
from tightfit.plain_values import json_text


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--groups", is_flag=True, help="Show the groups of channels that can only be pruned together.")
@json_option
def inspect(model: Path, groups: bool, as_json: bool) -> int:
    """Show the inputs, outputs, ops, parameters, MACs and quantization of MODEL."""
    if groups:
        return _show_groups(model, as_json)
    facts = run_inspect(model).facts
    if as_json:
        click.echo(json_text(facts))
    else:
        console().print(inspection(facts))
    return 0


def _show_groups(model: Path, as_json: bool) -> int:
    """Prints the channels that can only be removed together."""
    from tightfit.api.prune_channels import channel_groups  # noqa: PLC0415 - only --groups runs models
    from tightfit.cli.terminal.channels_view import groups_table  # noqa: PLC0415 - the same

    found = channel_groups(model)
    if as_json:
        click.echo(json_text({"channel_groups": found}))
    else:
        console().print(groups_table(found))
    return 0

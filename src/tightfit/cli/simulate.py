"""``tightfit simulate``: compare the integer simulation of training with LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tightfit.api.progress.terminal_bars import Bars
from tightfit.api.simulate import simulate as run_simulate
from tightfit.api.simulate import simulate_float16
from tightfit.cli.explain import short
from tightfit.cli.options.choices import TRAINED, Names
from tightfit.cli.options.shared_options import data_options, json_option, signature_option
from tightfit.cli.terminal.console import console
from tightfit.data.images.image_options import ImageOptions
from tightfit.plain_values import json_text
from tightfit.targets.places.float16 import Float16Simulation
from tightfit.training.simulation.comparison import UNDECIDED, Simulation
from tightfit.units import format_count, format_percent

_SHOWN = 10


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@data_options(required=True)
@click.option(
    "--scheme",
    type=Names("scheme", TRAINED),
    help="Quantize a float MODEL first by this scheme: int8, int16x8 or int8x4.",
)
@click.option(
    "--limit",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Samples whose top-1 decisions are compared.",
)
@click.option(
    "--device",
    type=click.Choice(["x86", "arm", "gpu", "phone"]),
    help="Whose arithmetic: a processor's (by default this one's), the GPU's, or a phone's float16.",
)
@signature_option
@json_option
def simulate(model: Path, as_json: bool, **options: Any) -> int:
    """Compare the simulation of MODEL with LiteRT: steps of difference per op, equal decisions.

    With --device phone: what float16 loses in each op on a phone's GPU, and where it overflows. Exit code 1:
    a value overflows.
    """
    options["image"] = ImageOptions.parse(options["image"]) if options["image"] else None
    with Bars(quiet=as_json) as bars:
        bars.stage("simulating", options["limit"])
        if options["device"] == "phone":
            kept = {name: options[name] for name in ("image", "limit", "signature")}
            return _show_float16(simulate_float16(model, options["data"], **kept), as_json=as_json)
        found = run_simulate(model, progress=bars.advance, **options)
    if as_json:
        click.echo(json_text(found.to_dict() | {"largest_steps": found.largest_steps}))
    else:
        console().print(as_text(found))
    return 0


def _show_float16(found: Float16Simulation, *, as_json: bool) -> int:
    if as_json:
        click.echo(json_text(found.to_dict()))
    else:
        console().print(_float16(found))
    return int(found.overflows)


def _float16(found: Float16Simulation) -> Group:
    """Return the losses of float16 for a person: overflow first, then the largest loss."""
    lines = [
        f"float16 on {format_count(found.samples, 'sample')}: {format_count(len(found.ops), 'op')} on the GPU"
    ]
    table = Table("op", "", "dB", "overflow", "largest", box=None, padding=(0, 2, 0, 0))
    for op in found.worst_first()[:_SHOWN]:
        decibels = "equal" if op.snr_db is None else f"{op.snr_db:.1f}"
        table.add_row(
            Text(short(op.name)), op.kind, decibels, format_percent(op.overflow), f"{op.largest:.4g}"
        )
    return Group(*map(Text, [*lines, *(f"note: {note}" for note in found.notes)]), Text(), table)


def _decisions(found: Simulation) -> str:
    if not found.decides:
        return UNDECIDED
    return (
        f"{format_percent(found.equal_decisions, 2)} equal decisions on "
        f"{format_count(found.samples, 'sample')} ({format_percent(found.tied_decisions, 2)} counting ties)"
    )


def as_text(found: Simulation) -> Group:
    """Return a comparison for a person: the ops that differ most first."""
    lines = [
        *([found.ran_on] if found.ran_on else []),
        _decisions(found),
        f"every op given the device's inputs: at most {found.largest_steps:g} steps apart, on "
        f"{format_count(len(found.ops), 'op')} and {format_count(found.compared, 'sample')}",
    ]
    if found.left_out:
        lines.append(
            f"not compared: {format_count(found.left_out, 'op')} whose tensors the file does not keep"
        )
    table = Table("op", "", "steps", "values that differ", box=None, padding=(0, 2, 0, 0))
    for op in sorted(found.ops, key=lambda op: (-op.steps, -op.share))[:_SHOWN]:
        table.add_row(Text(short(op.name)), op.kind, f"{op.steps:g}", format_percent(op.share, 3))
    return Group(*map(Text, lines), Text(), table)

"""Channels on the command line: what ``tightfit prune --pattern channel`` does, and groups as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tightfit.api.parameters.arguments import parse_latency, parse_size
from tightfit.api.progress.terminal_bars import Bars, Stages
from tightfit.api.prune_channels import prune_channels
from tightfit.cli.terminal.accuracy_view import accuracy_lines
from tightfit.cli.terminal.console import console
from tightfit.cli.terminal.quality_view import quality_lines
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import OptionError
from tightfit.evaluation.latency import compare_latency
from tightfit.units import format_bytes, format_milliseconds, format_percent, format_ratio

if TYPE_CHECKING:
    from tightfit.api.results.channel_pruning_result import ChannelPruningResult

_NAME = 34


def prune_by_channels(
    model: Path, output: Path, budget: Mapping[str, Any], options: Mapping[str, Any], *, as_json: bool
) -> int:
    """Prune channels for a command and prints what was done; 1 when the budget is not met.

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
        click.echo(json.dumps(result.to_json(), indent=1, ensure_ascii=False))
    else:
        console().print(pruned_table(result))
    return 0 if result.meets_budget and not result.ruined else 1


def _fraction(model: Path, text: str | None) -> float | None:
    """The share of the model's own latency that a limit such as ``12ms`` or ``0.6x`` is."""
    wanted, ratio = parse_latency(text)
    if wanted is None:
        return ratio

    own = compare_latency([model])[0].median_ms
    if own is None or wanted >= own:
        raise OptionError(
            f"Received the latency '{text}', but the model itself takes {own or 0:.2f} ms here; give less."
        )
    return wanted / own


def groups_table(groups: Sequence[Mapping[str, Any]]) -> Group:
    """Return one row a group of channels that go together, and below why some stay."""
    table = Table("group", "channels", "MACs", "made by", "summed by", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for group in groups:
        counts = (len(group["made_by"]), len(group["summed_by"]))
        style = "dim" if group["frozen"] else ""
        cells = (str(group["channels"]), f"{group['macs']:,}", *(format_ops(n) for n in counts))
        table.add_row(Text(short(group["name"])), *cells, style=style)
    reasons = [Text(f"{short(g['name'])} is kept: {g['frozen']}") for g in groups if g["frozen"]]
    return Group(table, Text(), *reasons)


def pruned_table(result: ChannelPruningResult) -> Group:
    """Return what a pruning did: totals, one row a group that may lose channels, and the notes."""
    table = Table("group", "channels", "kept", "share", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for change in result.groups:
        if change.frozen is None:
            share = format_percent(change.kept / change.channels, 0)
            table.add_row(Text(short(change.name)), str(change.channels), str(change.kept), share)
    fitted = f"chosen and fitted on {result.samples} samples" if result.samples else "chosen by weights alone"
    lines = [
        *accuracy_lines(result.accuracy),
        f"MACs {result.original_macs:,} → {result.macs:,} "
        f"({format_ratio(result.macs / max(result.original_macs, 1))}), {fitted}",
        f"file {_change(result.original_size.size_bytes, result.size.size_bytes)}, "
        f"zip {_change(result.original_size.zip_bytes, result.size.zip_bytes)}",
        f"latency {format_milliseconds(result.original_latency.median_ms)} → "
        f"{format_milliseconds(result.latency.median_ms)} ({format_ratio(result.latency.ratio)}), "
        "measured side by side on this machine",
        *quality_lines(result.outputs),
    ]
    return Group(table, Text(), *map(Text, lines), *[Text(f"note: {note}") for note in result.notes])


def _change(before: int, after: int) -> str:
    return f"{format_bytes(before)} → {format_bytes(after)} ({format_ratio(after / max(before, 1))})"


def format_ops(count: int) -> str:
    """Return a number of ops.

    Example:
        >>> format_ops(1), format_ops(3)
        ('1 op', '3 ops')
    """
    return f"{count} op" if count == 1 else f"{count} ops"


def short(name: str) -> str:
    """Return the end of a long name: converters put the layer's own name last.

    Example:
        >>> short("model/a_very_long_scope_that_goes_on/block3/project")
        '…ope_that_goes_on/block3/project'
    """
    return name if len(name) <= _NAME else "…" + name[-(_NAME - 3) :]

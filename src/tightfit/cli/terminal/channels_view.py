"""Channels on a terminal: groups that go together, and what their pruning did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tightfit.cli.terminal.accuracy_view import accuracy_lines
from tightfit.cli.terminal.quality_view import quality_lines
from tightfit.units import format_bytes, format_milliseconds, format_percent, format_ratio

if TYPE_CHECKING:
    from tightfit.api.results.channel_pruning_result import ChannelPruningResult

_NAME = 34


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

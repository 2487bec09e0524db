"""What channel groups look like on a terminal: before pruning (``inspect --groups``) and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tightfit.quantities import format_bytes, format_ratio

if TYPE_CHECKING:
    from tightfit.channel_verbs import ChannelPruned

_NAME = 34


def groups_table(groups: Sequence[Mapping[str, Any]]) -> Group:
    """Gives one row a group of channels that go together, and below why some stay."""
    table = Table("group", "channels", "MACs", "made by", "summed by", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for group in groups:
        counts = (len(group["made_by"]), len(group["summed_by"]))
        style = "dim" if group["frozen"] else ""
        cells = (str(group["channels"]), f"{group['macs']:,}", *(format_ops(n) for n in counts))
        table.add_row(Text(short(group["name"])), *cells, style=style)
    reasons = [Text(f"{short(g['name'])} stays: {g['frozen']}") for g in groups if g["frozen"]]
    return Group(table, Text(), *reasons)


def pruned_table(result: ChannelPruned) -> Group:
    """Gives what a pruning did: totals, one row a group that may lose channels, and the notes."""
    table = Table("group", "channels", "kept", "share", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for change in result.groups:
        if change.frozen is None:
            share = f"{change.kept / change.channels:.0%}"
            table.add_row(Text(short(change.name)), str(change.channels), str(change.kept), share)
    fitted = f"chosen and fitted on {result.samples} samples" if result.samples else "chosen by weights alone"
    lines = [
        f"MACs {result.original_macs:,} → {result.macs:,} "
        f"({format_ratio(result.macs / max(result.original_macs, 1))}), {fitted}",
        f"file {format_bytes(result.original_bytes)} → {format_bytes(result.size_bytes)} "
        f"({format_ratio(result.size_bytes / max(result.original_bytes, 1))})",
    ]
    return Group(table, Text(), *map(Text, lines), *[Text(f"note: {note}") for note in result.notes])


def format_ops(count: int) -> str:
    """Gives a number of ops.

    Example:
        >>> format_ops(1), format_ops(3)
        ('1 op', '3 ops')
    """
    return f"{count} op" if count == 1 else f"{count} ops"


def short(name: str) -> str:
    """Gives the end of a long name: converters put the layer's own name last.

    Example:
        >>> short("model/a_very_long_scope_that_goes_on/block3/project")
        '…ope_that_goes_on/block3/project'
    """
    return name if len(name) <= _NAME else "…" + name[-(_NAME - 3) :]

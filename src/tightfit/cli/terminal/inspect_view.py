"""What ``tightfit inspect`` shows of a model on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tightfit.cli.terminal.console import name_room
from tightfit.units import format_bytes, format_percent


def inspection(facts: Mapping[str, Any]) -> Group:
    """Return the facts of ``graph.summary.summary`` as tables of at most 80 columns."""
    weights = ", ".join(f"{format_bytes(n)} {dtype}" for dtype, n in facts["weight_bytes"].items())
    lines = [
        f"{facts['scheme']}, {facts['parameters']:,} parameters ({weights or 'none'}), "
        f"{facts['macs']:,} MACs, {format_percent(facts['sparsity'])} zeros",
        f"needs runtime {facts['min_runtime_version'] or 'any'}; {facts['graphs']} graph(s), "
        f"{len(facts['signatures'])} signature(s); metadata: {', '.join(facts['metadata']) or 'none'}",
    ]
    parts: list[RenderableType] = [Text(line) for line in lines]
    parts += _ends(facts)
    ops = Table("op", "count", box=None, padding=(0, 2, 0, 0))
    for kind, count in facts["op_counts"].items():
        ops.add_row(Text(kind), str(count))
    parts += [Text(), ops, _tensors("largest constants", facts["largest_constants"])]
    return Group(*parts)


def _ends(facts: Mapping[str, Any]) -> list[RenderableType]:
    """Inputs and outputs: of the main graph, or of each signature where they call several graphs."""
    if len({signature["graph_index"] for signature in facts["signatures"]}) < 2:
        return [_tensors("inputs", facts["inputs"]), _tensors("outputs", facts["outputs"])]
    parts: list[RenderableType] = []
    for signature in facts["signatures"]:
        parts += [Text(), Text(f"signature {signature['key']}: {signature['macs']:,} MACs")]
        for title in ("inputs", "outputs"):
            parts.append(_tensors(title, [t | {"name": n} for n, t in signature[title].items()]))
    return parts


def _tensors(title: str, tensors: list[Mapping[str, Any]]) -> Group:
    table = Table("", "dtype", "shape", "bytes", box=None, padding=(0, 2, 0, 0))
    table.columns[0].header = title
    table.columns[0].max_width = name_room(36)
    table.columns[0].overflow = "ellipsis"
    table.columns[0].no_wrap = True
    for tensor in tensors:
        shape = "×".join(str(d) for d in tensor["shape"]) or "scalar"
        table.add_row(Text(tensor["name"]), tensor["dtype"], shape, format_bytes(tensor["size_bytes"]))
    return Group(Text(), table)

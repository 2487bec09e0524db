"""Chains of ops that only reshape, as one RESHAPE.

What lies between two of them may have more dimensions than a device takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tightfit.graph.ir import Graph, Op
from tightfit.targets.fixes.fix_reduction import reshape_to
from tightfit.targets.limits.operand_roles import data

_RESHAPES: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})


def join_reshapes(graph: Graph, taken: Callable[[Op], bool]) -> list[str]:
    """Join ops that reshape one after the other, where the device does not take one of them; exact.

    Args:
        graph: changed in place.
        taken: True for an op that the device runs.

    Returns:
        Names of the ops that were joined into another.
    """
    joined: list[str] = []
    for op in list(graph.ops):
        first = _before(op, graph)
        if first is None or (taken(op) and taken(first)):
            continue
        source, target = data(first), op.outputs[0]
        position = graph.ops.index(op)
        graph.remove(op)
        graph.insert(position, reshape_to(source, target))
        graph.remove(first)
        joined.append(first.name)
    return joined


def _before(op: Op, graph: Graph) -> Op | None:
    """The op that reshapes for this one only, None where there is none."""
    if op.kind not in _RESHAPES or op.input(0) is None:
        return None
    between = data(op)
    first = between.producer
    if first is None or first.kind not in _RESHAPES or between in graph.outputs:
        return None
    fixed = all(n > 0 for n in (*between.shape, *op.outputs[0].shape))
    return first if len(between.consumers) == 1 and fixed and first.input(0) is not None else None

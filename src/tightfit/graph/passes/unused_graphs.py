"""Remove subgraphs that are not run, and update the indices of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tightfit.graph.ir import Model, Op
from tightfit.graph.passes.clean import called_graphs


def remove_unused_graphs(model: Model) -> int:
    """Remove the graphs that no signature names and no op runs; the main graph is kept.

    Returns:
        The number of removed graphs.

    Example:
        >>> from tightfit.graph.ir import Graph
        >>> model = Model([Graph("main"), Graph("body")])
        >>> remove_unused_graphs(model), len(model.graphs)
        (1, 1)
    """
    used = {0, *(s.graph_index for s in model.signatures)}
    waiting = list(used)
    while waiting:
        called = {i for op in model.graphs[waiting.pop()].ops for i in called_graphs(op)}
        new = {i for i in called if 0 <= i < len(model.graphs)} - used
        used |= new
        waiting += new
    removed = len(model.graphs) - len(used)
    if removed:
        renumber_graphs(model, sorted(used))
    return removed


def renumber_graphs(model: Model, order: Sequence[int]) -> None:
    """Put the graphs in another order, in place, and update the indices in ops and signatures.

    Args:
        model: no signature and no op of a kept graph refers to a graph that is left out.
        order: indices of the graphs that are kept, the main graph first.
    """
    places = {old: new for new, old in enumerate(order)}
    model.graphs = [model.graphs[i] for i in order]
    for signature in model.signatures:
        signature.graph_index = places[signature.graph_index]
    for graph in model.graphs:
        for op in graph.ops:
            op.options = renumbered_options(op, places)


def renumbered_options(op: Op, places: Mapping[int, int]) -> dict[str, Any]:
    """Return an op's options with the indices of the graphs that it runs replaced.

    Example:
        >>> renumbered_options(Op("CALL_ONCE", [], [], {"initSubgraphIndex": 1}), {1: 3})
        {'initSubgraphIndex': 3}
    """
    return {k: _renumbered(k, v, places) for k, v in op.options.items()}


def _renumbered(name: str, value: Any, places: Mapping[int, int]) -> Any:
    if name == "branchSubgraphIndices" and value is not None:
        moved = [places.get(int(v), int(v)) for v in value]
        return moved if isinstance(value, list) else np.asarray(moved, np.int32)
    if name.lower().endswith(("subgraphindex", "subgraph")):
        return places.get(int(value), int(value))
    return value

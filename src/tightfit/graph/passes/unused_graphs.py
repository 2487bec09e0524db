"""Remove subgraphs that are not run, and update the indices of the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from tightfit.graph.ir import Model
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
    places = {old: new for new, old in enumerate(sorted(used))}
    removed = len(model.graphs) - len(places)
    if removed:
        model.graphs = [model.graphs[i] for i in sorted(used)]
        for signature in model.signatures:
            signature.graph_index = places[signature.graph_index]
        for graph in model.graphs:
            for op in graph.ops:
                op.options = {k: _renumbered(k, v, places) for k, v in op.options.items()}
    return removed


def _renumbered(name: str, value: Any, places: dict[int, int]) -> Any:
    if name == "branchSubgraphIndices" and value is not None:
        moved = [places.get(int(v), int(v)) for v in value]
        return moved if isinstance(value, list) else np.asarray(moved, np.int32)
    if name.lower().endswith(("subgraphindex", "subgraph")):
        return places.get(int(value), int(value))
    return value

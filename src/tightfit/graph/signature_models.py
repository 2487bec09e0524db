"""The entry points of a file as models of their own, and such models joined to one file again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Signature
from tightfit.graph.passes.unused_graphs import remove_unused_graphs, renumber_graphs, renumbered_options
from tightfit.types import Array

_SMALLEST: Final = 256
"""Bytes of a constant that counts as a shared weight: shapes and axes are equal by chance."""


def entry_points(model: Model) -> dict[str, int]:
    """Return signature key → graph, one key for each graph that a signature calls, the main graph first.

    Example:
        >>> from tightfit.graph.ir import Graph
        >>> model = Model([Graph("a"), Graph("b")])
        >>> model.signatures = [Signature("decode", {}, {}, 1), Signature("encode", {}, {}, 0)]
        >>> entry_points(model)
        {'encode': 0, 'decode': 1}
    """
    found: dict[int, str] = {}
    for signature in sorted(model.signatures, key=lambda s: s.key != "serving_default"):
        found.setdefault(signature.graph_index, signature.key)
    return {found[i]: i for i in sorted(found)}


def signature_model(model: Model, key: str) -> tuple[Model, list[int]]:
    """Return a copy whose main graph is the one that a signature calls, without what it does not run.

    Args:
        model: is not changed.
        key: of a signature of the model.

    Returns:
        The copy, and for each of its graphs the index of that graph in the model.
    """
    index = next(s.graph_index for s in model.signatures if s.key == key)
    twin = copy_model(model)
    twin.signatures = [s for s in twin.signatures if s.graph_index == index]
    order = [index, *(i for i in range(len(twin.graphs)) if i != index)]
    renumber_graphs(twin, order)
    places = dict(zip(map(id, twin.graphs), order, strict=True))
    remove_unused_graphs(twin)
    return twin, [places[id(graph)] for graph in twin.graphs]


def join_models(parts: Sequence[tuple[Model, Sequence[int]]]) -> Model:
    """Return one model with the graphs and the signatures of several; equal constants are stored once.

    A graph that two parts run inside of theirs, such as the initial values of a variable, is kept once.
    Metadata, description and attached files are those of the first part.

    Args:
        parts: models with the indices that ``signature_model`` gave; the models become part of the result.
    """
    first = parts[0][0]
    joined = Model([], [], dict(first.metadata), first.description, first.version, dict(first.extra))
    joined.attached = dict(first.attached)
    inner: dict[int, int] = {}
    for part, origins in parts:
        places: dict[int, int] = {}
        added = []
        for i, (graph, origin) in enumerate(zip(part.graphs, origins, strict=True)):
            if i and origin in inner:
                places[i] = inner[origin]
                continue
            places[i] = len(joined.graphs)
            joined.graphs.append(graph)
            added.append(graph)
            if i:
                inner[origin] = places[i]
        for op in (op for graph in added for op in graph.ops):
            op.options = renumbered_options(op, places)
        joined.signatures += [
            Signature(s.key, s.inputs, s.outputs, places[s.graph_index]) for s in part.signatures
        ]
    share_equal_constants(joined)
    return joined


def share_equal_constants(model: Model) -> None:
    """Let constants with equal bytes have one memory, so that the file stores them once."""
    known: dict[tuple[str, bytes], Array] = {}
    for graph in model.graphs:
        for tensor in graph.tensors():
            data = tensor.data
            if data is None or data.dtype == object or data.nbytes < _SMALLEST:
                continue
            same = known.setdefault((data.dtype.str, data.tobytes()), np.ascontiguousarray(data))
            tensor.data = same.reshape(data.shape)


def shared_weights(parts: Mapping[str, Model]) -> bool:
    """Return whether two of several models have a constant in one memory.

    Args:
        parts: models made by ``signature_model`` of one file.
    """
    seen: set[int] = set()
    for part in parts.values():
        own = {
            t.data.__array_interface__["data"][0]
            for graph in part.graphs
            for t in graph.tensors()
            if t.data is not None and t.data.dtype != object and t.data.nbytes >= _SMALLEST
        }
        if own & seen:
            return True
        seen |= own
    return False

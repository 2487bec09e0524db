"""Graph passes that simplify a graph and keep its results; ``clean`` runs them all.

Each pass is a function ``(model) -> list[str]`` that edits the model in place and returns a sentence for each
kind of change. Its docstring states its condition. The inputs and outputs of graphs and signatures keep their
tensors, and so their names. ``constant_folding`` has the constant folding; quantization is not a pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.constant_folding import (
    count_kinds,
    fold_constants,
    is_plain_constant,
    kept_tensors,
    same_quantization,
)
from tightfit.types import Array
from tightfit.units import format_count

Pass = Callable[[Model], list[str]]


def clean(model: Model) -> list[str]:
    """Apply every pass in place; the results of the model are equal to the bit.

    Returns:
        One sentence for each pass that changed something.

    Example:
        >>> x, y, z = Tensor("x", (1, 4)), Tensor("y", (1, 4)), Tensor("z", (1, 4))
        >>> graph = Graph()
        >>> graph.inputs, graph.outputs = [x], [y]
        >>> _, _ = graph.append(Op("RELU", [x], [y])), graph.append(Op("TANH", [x], [z]))
        >>> clean(Model([graph]))
        ['Removed 1 op whose results nothing reads: TANH.']
    """
    return [sentence for step in PASSES for sentence in step(model)]


# -- float16 constants -----------------------------------------------------------------------------


def restore_float16(model: Model) -> list[str]:
    """Replace float16 constants behind DEQUANTIZE by float32 constants, and remove the DEQUANTIZE.

    Condition: the constant is dense and the result is not an output of the graph or of a signature. float16
    constants that share memory share one float32 array afterwards.
    """
    wide: dict[tuple[Any, ...], Array] = {}
    count = 0
    for graph in model.graphs:
        kept = kept_tensors(model, graph)
        twins: dict[Tensor, Tensor] = {}
        for op in list(graph.ops):
            source = op.input(0)
            if source is None or not _is_float16_store(op, source) or not kept.isdisjoint(op.outputs):
                continue
            if source not in twins:
                twins[source] = _widened(source, wide)
                count += 1
            graph.remove(op)
            graph.replace_uses(op.outputs[0], twins[source], outputs=False)
    return [f"Restored {format_count(count, 'float16 constant')} to float32."] if count else []


def _is_float16_store(op: Op, source: Tensor) -> bool:
    widens = op.kind == "DEQUANTIZE" and source.dtype == "float16" and is_plain_constant(source)
    return widens and [t.dtype for t in op.outputs] == ["float32"]


def _widened(source: Tensor, wide: dict[tuple[Any, ...], Array]) -> Tensor:
    """The float32 copy of a float16 constant, made once for each piece of memory."""
    data = source.values
    layout = None if data.flags.c_contiguous else (data.shape, data.strides)
    key = data.__array_interface__["data"][0], data.nbytes, layout
    if key not in wide:
        wide[key] = data.astype(np.float32).reshape(-1)
    return Tensor(source.name, source.shape, data=wide[key].reshape(source.shape))


# -- ops that change nothing -----------------------------------------------------------------------


def remove_identities(model: Model) -> list[str]:
    """Remove ops whose output equals their input (``IDENTITIES``).

    Condition: input and output have equal type, shape and quantization, and the input is not a variable. An
    op that writes an output of the graph is removed only when its input's producer can write that output.
    """
    removed: Counter[str] = Counter()
    for graph in model.graphs:
        kept = kept_tensors(model, graph)
        for op in list(graph.ops):
            single = op.kind in IDENTITIES and len(op.outputs) == 1
            if single and IDENTITIES[op.kind](op) and _bypass(graph, op, kept):
                removed[op.kind] += 1
    total = format_count(removed.total(), "op")
    return [f"Removed {total} that changed nothing: {count_kinds(removed)}."] if removed else []


def _bypass(graph: Graph, op: Op, kept: set[Tensor]) -> bool:
    """Remove an identity and keep the tensor that callers name; return False when they name both."""
    source, result = op.inputs[0], op.outputs[0]
    if source is None or source.is_variable or not _same_type(source, result):
        return False
    if result not in kept:
        graph.remove(op)
        graph.replace_uses(result, source)
        return True
    producer = source.producer
    if producer is None or source in kept:
        return False
    graph.remove(op)
    graph.set_output(producer, producer.outputs.index(source), result)
    graph.replace_uses(source, result)
    return True


def _same_type(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and same_quantization(a.quantization, b.quantization)


def _keeps_shape(op: Op) -> bool:
    """Whether a RESHAPE keeps the shape; a dynamic first dimension must be requested as −1."""
    source, wanted = op.input(0), op.input(1)
    if source is None:
        return False
    before, after = (t.shape_signature or t.shape for t in (source, op.outputs[0]))
    if -1 not in (*before, *after):
        return True
    asked = () if wanted is None or wanted.data is None else tuple(wanted.data.reshape(-1).tolist())
    return before == after == asked and -1 not in before[1:] and 0 not in before


def _keeps_order(op: Op) -> bool:
    """Whether a TRANSPOSE keeps the order of the dimensions."""
    order = op.input(1)
    return order is not None and order.data is not None and order.data.tolist() == list(range(order.size))


def _keeps_type(op: Op) -> bool:
    """Whether a CAST keeps the type, or a DEQUANTIZE reads float32."""
    source = op.input(0)
    return source is not None and source.dtype == op.outputs[0].dtype


def _pads_nothing(op: Op) -> bool:
    """Whether a PAD, PADV2 or MIRROR_PAD has zero width on every side."""
    widths = op.input(1)
    return widths is not None and widths.data is not None and not widths.data.any()


IDENTITIES: Final[dict[str, Callable[[Op], bool]]] = {
    "CAST": _keeps_type,
    "DEQUANTIZE": _keeps_type,
    "MIRROR_PAD": _pads_nothing,
    "PAD": _pads_nothing,
    "PADV2": _pads_nothing,
    "RESHAPE": _keeps_shape,
    "TRANSPOSE": _keeps_order,
}


# -- dead code -------------------------------------------------------------------------------------

_EFFECTS: Final = frozenset({"ASSIGN_VARIABLE", "CALL_ONCE", "HASHTABLE_IMPORT", "DELEGATE"})


def remove_dead_ops(model: Model) -> list[str]:
    """Remove ops whose outputs are not read, and tensors that are not referred to.

    Condition: no output is read by a kept op or named by callers, and the op has no side effect: it has
    outputs, writes no variable or table, and calls no subgraph with an op that has a side effect.
    """
    removed: Counter[str] = Counter()
    for graph in model.graphs:
        kept = kept_tensors(model, graph)
        for op in reversed(list(graph.ops)):
            unread = not any(t.consumers or t in kept for t in op.outputs)
            if unread and not any(_has_effect(o) for o in _run_by(model, op)):
                graph.remove(op)
                removed[op.kind] += 1
        graph.loose = [t for t in graph.loose if t in kept]
    total = format_count(removed.total(), "op")
    return [f"Removed {total} whose results nothing reads: {count_kinds(removed)}."] if removed else []


def _has_effect(op: Op) -> bool:
    """True when the op has a side effect besides writing its outputs."""
    if not op.outputs or op.kind in _EFFECTS or any(op.extra.get("mutatingVariableInputs") or ()):
        return True
    return any(t is not None and t.is_variable for t in op.inputs)


def _run_by(model: Model, op: Op) -> Iterator[Op]:
    """The op and every op of the subgraphs that it runs, directly or indirectly, each once."""
    yield op
    waiting, seen = list(called_graphs(op)), set[int]()
    while waiting:
        index = waiting.pop()
        if index in seen or not 0 <= index < len(model.graphs):
            continue
        seen.add(index)
        for inner in model.graphs[index].ops:
            yield inner
            waiting += called_graphs(inner)


def called_graphs(op: Op) -> frozenset[int]:
    """Return the indices of the subgraphs that an op runs.

    Example:
        >>> sorted(called_graphs(Op("WHILE", [], [], {"condSubgraphIndex": 1, "bodySubgraphIndex": 2})))
        [1, 2]
    """
    named = [v for k, v in op.options.items() if k.lower().endswith(("subgraphindex", "subgraph"))]
    listed = op.options.get("branchSubgraphIndices")
    return frozenset(int(v) for v in (*named, *([] if listed is None else listed)))


PASSES: Final[tuple[Pass, ...]] = (restore_float16, fold_constants, remove_identities, remove_dead_ops)

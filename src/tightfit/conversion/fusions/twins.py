"""Ops that compute the same twice become one; where only the fused activation differs, it becomes an op."""

from __future__ import annotations

from typing import Any, Final

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.clean import called_graphs
from tightfit.graph.passes.constant_folding import kept_tensors
from tightfit.units import format_count

_ACTIVATIONS: Final = {1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH"}
_RANDOM: Final = frozenset({"RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL", "CUSTOM"})
_SMALL: Final = 256
_FUSED: Final = "fusedActivationFunction"


def merge_twins(model: Model) -> list[str]:
    """Let one op stand for those of its kind that read the same and have the same options.

    Condition: one output, no variables, no subgraph, no random numbers; the other's result is no output. Of
    two that differ in the fused activation, one must have none.
    """
    count = sum(_merge_in(graph, kept_tensors(model, graph)) for graph in model.graphs)
    return [f"Removed {format_count(count, 'op')} that another computes already."] if count else []


def _merge_in(graph: Graph, kept: set[Tensor]) -> int:
    first: dict[Any, Op] = {}
    count = 0
    for op in list(graph.ops):
        if not _is_pure(op):
            continue
        plain = _key(op)
        twin = first.setdefault(plain, op)
        if twin is not op and _unite(graph, twin, op, kept):
            count += 1
    return count


def _unite(graph: Graph, first: Op, second: Op, kept: set[Tensor]) -> bool:
    result, source = second.outputs[0], first.outputs[0]
    one, other = first.options.get(_FUSED, 0), second.options.get(_FUSED, 0)
    if result.shape != source.shape or result.dtype != source.dtype or result.is_quantized:
        return False
    if one == other:
        if result in kept:
            return False
        graph.remove(second)
        graph.replace_uses(result, source)
        return True
    if one or other not in _ACTIVATIONS:
        return False
    place = graph.ops.index(second)
    graph.remove(second)
    graph.insert(place, Op(_ACTIVATIONS[other], [source], [result]))
    return True


def _is_pure(op: Op) -> bool:
    has_state = any(t is not None and t.is_variable for t in (*op.inputs, *op.outputs))
    plain = len(op.outputs) == 1 and op.kind not in _RANDOM and not op.intermediates and not called_graphs(op)
    return (
        plain and not has_state and not op.kind.startswith(("VAR_", "READ_VAR", "HASHTABLE", "STABLEHLO_RNG"))
    )


def _key(op: Op) -> Any:
    options = {k: v for k, v in op.options.items() if k != _FUSED}
    return op.kind, tuple(_identity(t) for t in op.inputs), repr(sorted(options.items())), op.custom_options


def _identity(tensor: Tensor | None) -> Any:
    """The same for tensors that hold the same values: constants by memory, small ones by content."""
    if tensor is None or tensor.data is None or tensor.sparsity is not None or tensor.is_quantized:
        return None if tensor is None else tensor.serial
    data = tensor.data
    if data.nbytes <= _SMALL:
        return tensor.dtype, tensor.shape, data.tobytes()
    return tensor.dtype, tensor.shape, data.strides, data.__array_interface__["data"][0]

"""Sorted values become TOPK_V2: LiteRT has no kernel for STABLEHLO_SORT.

litert-converter writes a top-k whose positions nobody reads as a sort with a comparator graph and a SLICE.
"""

from __future__ import annotations

from typing import Final

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.edits import constant, integers
from tightfit.graph.passes.unused_graphs import remove_unused_graphs
from tightfit.units import format_count

_GREATER: Final = 3
_LESS: Final = 5
"""``StablehloComparisonDirection`` of the schema."""


def write_top_k(model: Model) -> list[str]:
    """Turn a sort of one tensor along its last axis into TOPK_V2, with NEG around it where it ascends.

    Condition: the comparator compares its two arguments, the first on the left, by greater or less.
    """
    count = 0
    for graph in model.graphs:
        for op in [op for op in graph.ops if op.kind == "STABLEHLO_SORT"]:
            direction = _direction(model, op)
            if direction is not None:
                _replace(graph, op, ascending=direction == _LESS)
                count += 1
    if count:
        remove_unused_graphs(model)  # the comparators
    return [f"Wrote {format_count(count, 'sort')} as TOPK_V2."] if count else []


def _direction(model: Model, op: Op) -> int | None:
    """How a sort compares, None where TOPK_V2 cannot do it."""
    x = op.inputs[0] if len(op.inputs) == 1 else None
    if x is None or x.dtype not in ("float32", "int32") or op.options["dimension"] != len(x.shape) - 1:
        return None
    comparator = model.graphs[int(op.options["comparatorSubgraphIndex"])]
    last = comparator.outputs[0].producer if comparator.outputs else None
    if last is None or last.kind != "STABLEHLO_COMPARE" or len(comparator.inputs) != 2:
        return None
    left, right = (_origins(last.operand(i)) for i in (0, 1))
    first, second = comparator.inputs
    direction = int(last.options["comparisonDirection"])
    fits = direction in (_GREATER, _LESS) and first in left and second not in left and second in right
    return direction if fits else None


def _origins(tensor: Tensor) -> set[Tensor]:
    """The tensors that a value is computed from, itself included."""
    found, waiting = {tensor}, [tensor]
    while waiting:
        producer = waiting.pop().producer
        for source in () if producer is None else producer.inputs:
            if source is not None and source not in found:
                found.add(source)
                waiting.append(source)
    return found


def _replace(graph: Graph, op: Op, *, ascending: bool) -> None:
    x, result = op.operand(0), op.outputs[0]
    count, end = x.shape[-1], result
    readers = result.consumers
    cut = readers[0][0] if len(readers) == 1 and result not in graph.outputs else None
    if cut is not None and cut.kind == "SLICE" and _takes_first(cut):
        end, count = cut.outputs[0], cut.outputs[0].shape[-1]
    place = graph.ops.index(op)
    graph.remove(op)
    if cut is not None and end is not result:
        graph.remove(cut)
    wanted = end
    if ascending:
        x = _negative(graph, place, x, f"{end.name}/negative")
        wanted = Tensor(f"{end.name}/descending", end.shape, end.dtype)
    positions = Tensor(f"{end.name}/positions", end.shape, "int32")
    k = constant(f"{end.name}/k", count)
    graph.insert(place + ascending, Op("TOPK_V2", [x, k], [wanted, positions], {}, "TopKV2Options"))
    if ascending:
        graph.insert(place + 2, Op("NEG", [wanted], [end], {}, "NegOptions"))


def _negative(graph: Graph, place: int, x: Tensor, name: str) -> Tensor:
    result = Tensor(name, x.shape, x.dtype)
    graph.insert(place, Op("NEG", [x], [result], {}, "NegOptions"))
    return result


def _takes_first(cut: Op) -> bool:
    """True for a SLICE of the first values along the last axis."""
    begin, whole = integers(cut.input(1)), cut.operand(0).shape
    return begin is not None and not any(begin) and cut.outputs[0].shape[:-1] == whole[:-1]

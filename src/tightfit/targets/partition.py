"""How LiteRT cuts a graph into pieces for a delegate, and which piece a delegate with one piece gets.

Source: ``PartitionGraphIntoIndependentNodeSubsets`` (tflite/graph_info.cc) and ``GraphPartitionHelper`` and
``FP16GraphPartitionHelper`` (tflite/delegates/utils.cc) of LiteRT 2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tightfit.graph.ir import Graph, Op


def subsets(ops: Sequence[Op], supported: Callable[[Op], bool]) -> list[tuple[bool, list[Op]]]:
    """Return the pieces in the order in which LiteRT runs them: (supported or not, its ops).

    A piece starts with the first op that is ready and holds every op of the same kind of support that can run
    before another kind must.

    Example:
        >>> from tightfit.graph.ir import Tensor
        >>> a, b, c, d = (Tensor(n, (1,)) for n in "abcd")
        >>> ops = [Op("ABS", [a], [b]), Op("LOG", [b], [c]), Op("ABS", [a], [d])]
        >>> [(takes, len(piece)) for takes, piece in subsets(ops, lambda op: op.kind == "ABS")]
        [(True, 2), (False, 1)]
    """
    made = {id(t) for op in ops for t in op.outputs}
    waiting, done = list(ops), set[int]()
    pieces: list[tuple[bool, list[Op]]] = []
    while waiting:
        kind: bool | None = None
        piece: list[Op] = []
        while True:
            left = []
            for op in waiting:
                ready = all(t is None or id(t) not in made or id(t) in done for t in op.inputs)
                if ready and kind is None:
                    kind = supported(op)
                if ready and supported(op) == kind:
                    piece.append(op)
                    done.update(id(t) for t in op.outputs)
                else:
                    left.append(op)
            grew = len(left) < len(waiting)
            waiting = left
            if not grew:
                break
        if not piece or kind is None:  # a circle, which no valid graph has
            break
        pieces.append((kind, piece))
    return pieces


def count_pieces(ops: Sequence[Op], supported: Callable[[Op], bool]) -> int:
    """Return how many pieces of supported ops there are."""
    return sum(kind for kind, _ in subsets(ops, supported))


def is_unpacking(op: Op) -> bool:
    """Return True for a DEQUANTIZE of a float16 constant, which a delegate reads as a constant."""
    source = op.input(0)
    return op.kind == "DEQUANTIZE" and source is not None and source.is_constant and source.dtype == "float16"


def one_piece(graph: Graph, supported: Callable[[Op], bool]) -> tuple[list[Op], int]:
    """Return the ops that a delegate with one piece takes, and how many pieces there were to choose from.

    The longest piece by ops wins, the first of several. Dequantizations of float16 constants belong to it
    only when the delegate takes the whole graph.
    """
    taken = {id(op): supported(op) and not is_unpacking(op) for op in graph.ops}
    if all(taken[id(op)] or is_unpacking(op) for op in graph.ops):
        return list(graph.ops), 1
    pieces = [piece for kind, piece in subsets(graph.ops, lambda op: taken[id(op)]) if kind]
    return max(pieces, key=len, default=[]), len(pieces)

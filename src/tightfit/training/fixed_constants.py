"""The ops that bring inputs to one size, whose constants training leaves as they are."""

from __future__ import annotations

from typing import Final

from tightfit.graph.ir import Graph, Op

_NORMALIZES: Final = frozenset({"ADD", "SUB", "MUL", "DIV"})
_MOVES: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "CAST", "CONCATENATION"})


def normalizing_ops(graph: Graph) -> set[Op]:
    """Return the elementwise ops with constants between the inputs and the first layers.

    Their constants are means and deviations of the inputs in units of their own. A step relative to their
    size, such as 0.1 % of an air pressure of 101,325 Pa, is as large as all that the input varies.

    Args:
        graph: a float graph in the order of execution.

    Example:
        >>> import numpy as np
        >>> from tightfit.graph.ir import Tensor
        >>> x, mean = Tensor("x", (1, 2)), Tensor("mean", (2,), data=np.ones(2, np.float32))
        >>> subtract = Op("SUB", [x, mean], [Tensor("y", (1, 2))])
        >>> graph = Graph()
        >>> graph.inputs, graph.ops = [x], [subtract]
        >>> [op.kind for op in normalizing_ops(graph)]
        ['SUB']
    """
    raw, found = set(graph.inputs), set[Op]()
    for op in graph.ops:
        read = [t for t in op.inputs if t is not None and not t.is_constant]
        if op.kind not in _NORMALIZES | _MOVES or not read or not all(t in raw for t in read):
            continue
        raw.update(op.outputs)
        if op.kind in _NORMALIZES:
            found.add(op)
    return found

"""Composites of GRU and plain recurrent layers become WHILE loops; see ``stablehlo.loop_composites``."""

from __future__ import annotations

import numpy as np

from tightfit.conversion.fusions.composites import parse_name
from tightfit.errors import ModelError
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.ops.recurrent_loop import GRU, RNN, Cell, add_layer
from tightfit.graph.passes.unused_graphs import remove_unused_graphs

_ACTIVATIONS = (None, "TANH", "RELU", "LOGISTIC")


def write_loops(model: Model) -> list[str]:
    """Replace each composite of a recurrent layer by its loops, and drop the graphs that described them.

    Condition: the name starts with "tightfit.GRU" or "tightfit.RNN".
    """
    found = [(graph, op) for graph in model.graphs for op in graph.ops if op.kind == "STABLEHLO_COMPOSITE"]
    for graph, op in found:
        kind, numbers = parse_name(op.options.get("name", b""))
        if kind in (GRU, RNN):
            cell = _cell(op, kind, numbers)
            _replace(model, graph, op, cell)
    remove_unused_graphs(model)
    return []


def _replace(model: Model, graph: Graph, op: Op, cell: Cell) -> None:
    result = op.outputs[0]
    states = Tensor(result.name, result.shape)
    add_layer(model, op, op.operand(0), op.operand(1), cell, states)
    last = states.writer
    graph.remove(op)
    graph.set_output(last, 0, result)


def _cell(op: Op, kind: str, numbers: dict[str, int]) -> Cell:
    weights = [op.operand(2), op.operand(3)]
    if any(t.data is None for t in weights):
        raise ModelError(
            f"The weights of the recurrent layer '{op.outputs[0].name}' are computed at run time; a loop "
            "takes constants: convert with --recurrent unrolled."
        )
    recurrent, bias = (np.asarray(t.values, np.float32) for t in weights)
    activation = _ACTIVATIONS[numbers["activation"]] if kind == RNN else None
    return Cell(kind, recurrent, bias, bool(numbers.get("after", 1)), activation)

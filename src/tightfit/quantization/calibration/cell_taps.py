"""Taps of LSTM cell states in the model that calibration runs; see ``streaming.cell_watch``."""

from __future__ import annotations

import math

import numpy as np

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.graph.ops.sequence_lstm import (
    BIASES,
    CELL,
    INPUT_WEIGHTS,
    KIND,
    RECURRENT_WEIGHTS,
    starts_from_zero,
    unlike_plain,
)
from tightfit.quantization.ops.rule_lookup import is_float_constant
from tightfit.streaming.cell_watch import CellWatch


def tap_cells(graph: Graph, *, detailed: bool) -> list[tuple[Tensor, Tensor, CellWatch]]:
    """Join input and output of each plain LSTM by a CONCATENATION, in place.

    Args:
        graph: of a copy.
        detailed: whether histograms are wanted.

    Returns:
        For each, the cell's variable, the joined tensor, and the watch that finds the states from it.
    """
    found = [op for op in graph.ops if op.kind == KIND and unlike_plain(op) is None and _is_constant(op)]
    return [_tapped(graph, op, detailed=detailed) for op in found]


def _is_constant(op: Op) -> bool:
    places = (*INPUT_WEIGHTS, *RECURRENT_WEIGHTS, *BIASES)
    return not op.options.get("timeMajor") and all(is_float_constant(op.input(i)) for i in places)


def _tapped(graph: Graph, op: Op, *, detailed: bool) -> tuple[Tensor, Tensor, CellWatch]:
    x, y = op.operand(0), op.outputs[0]
    shape = (*x.shape[:2], x.shape[2] + y.shape[2])
    free = None if y.shape_signature is None else (*y.shape_signature[:2], shape[2])
    joined = Tensor(f"{op.name}/joined", shape, shape_signature=free)
    options = {"axis": 2, "fusedActivationFunction": 0}
    graph.insert_after(op, Op("CONCATENATION", [x, y], [joined], options, "ConcatenationOptions"))
    pairs = list(zip(INPUT_WEIGHTS[:3], RECURRENT_WEIGHTS[:3], strict=True))
    weights = [np.concatenate([op.operand(i).values, op.operand(j).values], axis=1) for i, j in pairs]
    biases = [op.operand(i).values for i in BIASES[:3]]
    clip = float(op.options.get("cellClip") or math.inf)
    keeps = not starts_from_zero(op)
    return op.operand(CELL), joined, CellWatch(weights, biases, clip, keeps=keeps, detailed=detailed)

"""What the integer kernels of UNIDIRECTIONAL_SEQUENCE_LSTM need beside weights: typed states, intermediates.

Source: ``unidirectional_sequence_lstm.cc`` of LiteRT and of tflite-micro, "8x8 → 16".
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.graph.ir import Graph, Op, Quantization, Tensor
from tightfit.graph.ops.sequence_lstm import CELL, HIDDEN

_GATE_SCALE: Final = 2.0**-12
"""What the kernels' sigmoid and tanh read: int16 with three integer bits."""


def finish_states(graph: Graph, op: Op) -> None:
    """Make the states that an LSTM reads its variables, where they are converted copies of those it had.

    A state that no op sets is not converted at each call: the runtime sets it to zero once, int8 to its zero
    point (``Subgraph::ResetVariableTensors``).
    """
    for position in (HIDDEN, CELL):
        state = op.operand(position)
        source = None if state.producer is None else state.producer.input(0)
        if state.is_variable or source is None or state.producer is None:
            continue
        is_kept = source.is_variable and source.producer is None
        source.is_variable, state.is_variable = False, True
        if is_kept:
            graph.remove(state.producer)


def add_intermediates(op: Op) -> None:
    """Add the five intermediates that the kernels of an LSTM of integers read scales from."""
    names = ("input", "forget", "cell", "output")
    op.intermediates = [_intermediate(f"{op.name}/{n}_gate", "int16", _GATE_SCALE, 0) for n in names]
    held = op.operand(HIDDEN).grid
    scale, zero = float(held.scale[0]), int(held.zero_point[0])
    op.intermediates.append(_intermediate(f"{op.name}/hidden_step", "int8", scale, zero))


def _intermediate(name: str, dtype: str, scale: float, zero_point: int) -> Tensor:
    grid = Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))
    return Tensor(name, (0,), dtype, quantization=grid)  # tflite-micro refuses any other size

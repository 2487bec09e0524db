"""LSTM layers as one op, with weights of the usual size."""

from __future__ import annotations

import numpy as np

from tightfit.graph.ir import Graph, Model, Tensor
from tightfit.graph.ops.sequence_lstm import Gates, layer_ops


def lstm_layer(
    steps: int = 12, depth: int = 5, units: int = 6, *, batch: int = 1, gain: float = 1.0, clip: float = 0.0,
    keeps: bool = False,
) -> Model:  # fmt: skip
    """One LSTM: input ``x``, output ``y``; from zero, unless it keeps its states from call to call."""
    draw = np.random.default_rng(0)
    shapes = (4 * units, depth), (4 * units, units), (4 * units,)
    rows = [
        (gain * draw.normal(size=s) / np.sqrt(s[-1] if len(s) > 1 else 4)).astype(np.float32) for s in shapes
    ]
    graph = Graph()
    x, y = Tensor("x", (batch, steps, depth)), Tensor("y", (batch, steps, units))
    graph.inputs, graph.outputs = [x], [y]
    for op in layer_ops(x, Gates.of_rows(*rows), y):
        graph.append(op)
    graph.ops[-1].options["cellClip"] = clip
    for op in graph.ops[:-1] if keeps else []:
        graph.remove(op)
    return Model([graph])


def sequences(model: Model, count: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Random inputs of a model of ``lstm_layer``."""
    draw = np.random.default_rng(seed)
    shape = model.main.inputs[0].shape
    return [{"x": draw.normal(size=shape).astype(np.float32)} for _ in range(count)]


def states_of(model: Model, x: np.ndarray, last: tuple | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The hidden and cell states of every step by the textbook's formula, in float64, after the ``last``."""
    op = model.main.ops[-1]
    w, r, b = (
        [op.operand(i).values.astype(np.float64) for i in places]
        for places in ((1, 2, 3, 4), (5, 6, 7, 8), (12, 13, 14, 15))
    )
    limit = op.options["cellClip"] or np.inf
    hidden = cell = np.zeros((x.shape[0], r[0].shape[1]))
    if last is not None:
        hidden, cell = last[0][:, -1], last[1][:, -1]
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for t in range(x.shape[1]):
        i, f, g, o = (x[:, t] @ w[k].T + hidden @ r[k].T + b[k] for k in range(4))
        cell = np.clip(cell / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i)), -limit, limit)
        hidden = np.tanh(cell) / (1 + np.exp(-o))
        found.append((hidden, cell))
    return np.stack([h for h, _ in found], 1), np.stack([c for _, c in found], 1)

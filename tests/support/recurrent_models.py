"""LSTM layers as one op, with weights of the usual size."""

from __future__ import annotations

from typing import Any

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.ops.recurrent_loop import Cell, add_layer
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


def looped_layer(kind: str = "GRU", steps: int = 67, units: int = 4, *, batch: int = 1, **cell: Any) -> Model:
    """A GRU or plain layer as loops: input ``x`` holds the products with the input, output ``y``."""
    draw = np.random.default_rng(3)
    rows = 3 * units if kind == "GRU" else units
    weights = (draw.normal(size=(rows, units)) / (2 * np.sqrt(units))).astype(np.float32)
    bias = draw.normal(size=rows).astype(np.float32) / 4
    graph = Graph()
    x, y, states = (
        Tensor("x", (steps, batch, rows)),
        Tensor("y", (steps, batch, units)),
        Tensor("s", (steps, batch, units)),
    )
    graph.inputs, graph.outputs, model = [x], [y], Model([graph])
    first = Tensor("first", (batch, units), data=draw.normal(size=(batch, units)).astype(np.float32))
    last = graph.append(Op("LOGISTIC", [states], [y]))
    add_layer(model, last, x, first, Cell(kind, weights, bias, **cell), states)
    return model


def looped_states(
    model: Model, x: np.ndarray, *, kind: str, resets_after: bool, activation: Any
) -> np.ndarray:
    """What ``looped_layer`` gives, by the textbook's formula, in float64."""
    constants = [
        t for g in model.graphs for op in g.ops for t in op.inputs if t is not None and t.data is not None
    ]
    parts = {t.name.rsplit("/", 1)[-1]: t.data.astype(np.float64) for t in constants if t.dtype == "float32"}
    r = np.concatenate([parts[n] for n in ("back_weights", "back_new_weights") if n in parts])
    b = np.concatenate([parts[n] for n in ("back_bias", "back_new_bias") if n in parts])
    h, units, found = parts["first"], r.shape[1], []
    for a in x.astype(np.float64):
        if kind == "RNN":
            h = activation(a + h @ r.T + b)
        else:
            both = 1 / (1 + np.exp(-(a[:, : 2 * units] + h @ r[: 2 * units].T + b[: 2 * units])))
            z, reset = both[:, :units], both[:, units:]
            new, c = r[2 * units :], b[2 * units :]
            back = reset * (h @ new.T + c) if resets_after else (reset * h) @ new.T + c
            h = z * h + (1 - z) * np.tanh(a[:, 2 * units :] + back)
        found.append(h)
    return 1 / (1 + np.exp(-np.stack(found)))


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

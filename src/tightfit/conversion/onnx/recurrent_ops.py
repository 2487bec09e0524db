"""ONNX LSTM, GRU and RNN: an LSTM from zero is one op, a long GRU or RNN is loops.

Others are written out step by step: ``.tflite`` has no loop that every runtime takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from jax import nn

from tightfit.conversion.onnx.onnx_values import OnnxNode, OnnxOp
from tightfit.conversion.stablehlo.loop_composites import looped_gru, looped_rnn
from tightfit.conversion.stablehlo.lstm_layer import sequence_lstm
from tightfit.graph.ops.recurrent_loop import LOOP_FROM
from tightfit.graph.passes.unrolled_lstm import LONGEST

State = tuple[Any, ...]
Step = Callable[[Any, State], State]
_DEFAULTS: Final = {
    "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"],
}  # fmt: skip


_PLAIN: Final[dict[str, Callable[[Any], Any]]] = {
    "Relu": lambda v: jnp.maximum(v, 0), "Sigmoid": nn.sigmoid, "Tanh": jnp.tanh,
}  # fmt: skip
"""Activations of an RNN, the same in both directions."""


def _names(n: OnnxNode) -> list[str]:
    return [_text(a) for a in n.get("activations") or []]


def _lstm_step(n: OnnxNode, recurrent: Any, bias: Any) -> Step:
    """Gates in the order input, output, forget, cell."""
    del n

    def step(gates: Any, state: State) -> State:
        hidden, cell = state
        i, o, f, c = jnp.split(gates + jnp.matmul(hidden, recurrent) + bias, 4, axis=-1)
        cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(c)
        return nn.sigmoid(o) * jnp.tanh(cell), cell

    return step


def _gru_step(n: OnnxNode, recurrent: Any, bias: Any) -> Step:
    """Gates in the order update, reset, hidden."""
    size = recurrent.shape[0]
    linear_first = n.get("linear_before_reset", 0)

    def step(gates: Any, state: State) -> State:
        (hidden,) = state
        wz, wr, wh = jnp.split(gates, 3, axis=-1)
        both = jnp.matmul(hidden, recurrent[:, : 2 * size]) + bias[: 2 * size]
        z, r = nn.sigmoid(wz + both[..., :size]), nn.sigmoid(wr + both[..., size:])
        if linear_first:
            new = r * (jnp.matmul(hidden, recurrent[:, 2 * size :]) + bias[2 * size :])
        else:
            new = jnp.matmul(r * hidden, recurrent[:, 2 * size :]) + bias[2 * size :]
        return ((1 - z) * jnp.tanh(wh + new) + z * hidden,)

    return step


def _rnn_step(n: OnnxNode, recurrent: Any, bias: Any) -> Step:
    activation = _PLAIN[_names(n)[0] if _names(n) else "Tanh"]
    return lambda gates, state: (activation(gates + jnp.matmul(state[0], recurrent) + bias),)


_LOOPED: Final = {"Relu": "RELU", "Sigmoid": "LOGISTIC", "Tanh": "TANH"}

_STEPS: Final = {"LSTM": (_lstm_step, 2), "GRU": (_gru_step, 1), "RNN": (_rnn_step, 1)}


def _recurrent(n: OnnxNode, x: Any, w: Any, r: Any, *rest: Any) -> Any:
    given = [*rest, *[None] * (5 - len(rest))]
    bias, lengths, first, cell, peepholes = given
    _check(n, lengths, peepholes)
    if n.get("layout", 0):
        x = jnp.swapaxes(x, 0, 1)
    if _is_one_op(n, (w, r, bias), first, cell):
        return _as_ops(n, x, (w, r, bias))
    if lengths is not None and (lengths != x.shape[0]).any():
        raise n.refuse(f"ends some of its sequences before the last of {x.shape[0]} steps")
    looped = _is_looped(n, x, (w, r, bias))
    if x.shape[0] > LONGEST and not looped:
        raise n.refuse(f"would be written out over {x.shape[0]} steps, more than {LONGEST}")
    direction = _text(n.get("direction", "forward"))
    results: list[tuple[Any, State]] = []
    for d in range(w.shape[0]):
        states = [None if s is None else (s[:, d] if n.get("layout", 0) else s[d]) for s in (first, cell)]
        backward = direction == "reverse" or d == 1
        run = _looped_direction if looped else _direction
        results.append(run(n, x, (w[d], r[d], None if bias is None else bias[d]), states, backward))
    outputs = [jnp.stack([y for y, _ in results], axis=1)]
    outputs += [jnp.stack(list(lasts), axis=0) for lasts in zip(*(s for _, s in results), strict=True)]
    if n.get("layout", 0):
        outputs = [jnp.transpose(outputs[0], (2, 0, 1, 3)), *(jnp.swapaxes(o, 0, 1) for o in outputs[1:])]
    return tuple(outputs)


def _is_looped(n: OnnxNode, x: Any, weights: State) -> bool:
    """Whether loops take the layer: a long GRU or RNN whose weights are known."""
    known = all(isinstance(m, np.ndarray) for m in weights if m is not None)
    return n.loops and n.kind in ("GRU", "RNN") and known and x.shape[0] > LOOP_FROM


def _is_one_op(n: OnnxNode, weights: State, *states: Any) -> bool:
    """Whether UNIDIRECTIONAL_SEQUENCE_LSTM computes what is read: from zero, without the last cell state."""
    known = all(isinstance(m, np.ndarray) for m in weights if m is not None)
    zero = all(s is None or (isinstance(s, np.ndarray) and not s.any()) for s in states)
    return n.kind == "LSTM" and n.fuses and known and zero and not any(n.read[2:])


def _as_ops(n: OnnxNode, x: Any, weights: State) -> Any:
    """One op for each direction; the last cell state, which nothing reads, is zero."""
    batch_first = jnp.swapaxes(x, 0, 1)
    direction, outputs, lasts = _text(n.get("direction", "forward")), [], []
    for d in range(weights[0].shape[0]):
        backward = direction == "reverse" or d == 1
        given = jnp.flip(batch_first, 1) if backward else batch_first
        y = sequence_lstm(given, *_gates(*(None if m is None else m[d] for m in weights)))
        lasts.append(y[:, -1])
        outputs.append(jnp.flip(y, 1) if backward else y)
    whole, last = jnp.stack(outputs, axis=2), jnp.stack(lasts, axis=1)
    if not n.get("layout", 0):
        whole, last = jnp.transpose(whole, (1, 2, 0, 3)), jnp.swapaxes(last, 0, 1)
    return whole, last, jnp.zeros_like(last)


def _gates(w: Any, r: Any, bias: Any) -> list[Any]:
    """Weights, recurrent weights and bias with the gates in the order input, forget, cell, output."""
    both = np.zeros(w.shape[0], np.float32) if bias is None else bias[: w.shape[0]] + bias[w.shape[0] :]
    parts = (np.split(np.asarray(m, np.float32), 4) for m in (w, r, both))
    return [jnp.asarray(np.concatenate([i, f, c, o])) for i, o, f, c in parts]


def _direction(n: OnnxNode, x: Any, weights: State, states: list[Any], backward: bool) -> tuple[Any, State]:
    """All steps of one direction: the hidden state of each, and the last states."""
    w, r, bias = weights
    make, count = _STEPS[n.kind]
    bias = np.zeros(2 * w.shape[0], np.float32) if bias is None else bias
    half = w.shape[0]
    step = make(n, r.T, bias[half:])
    gates = jnp.matmul(x, w.T) + bias[:half]  # every step's at once
    zero = jnp.zeros((x.shape[1], r.shape[1]), jnp.float32)
    state = tuple(zero if s is None else s for s in states[:count])
    hidden = []
    for t in range(x.shape[0]):
        state = step(gates[x.shape[0] - 1 - t if backward else t], state)
        hidden.append(state[0])
    return jnp.stack(hidden[::-1] if backward else hidden, axis=0), state


def _looped_direction(
    n: OnnxNode, x: Any, weights: State, states: list[Any], backward: bool
) -> tuple[Any, State]:
    """The same as ``_direction`` by loops."""
    w, r, bias = weights
    bias = np.zeros(2 * w.shape[0], np.float32) if bias is None else bias
    given, back = np.split(np.asarray(bias, np.float32), 2)
    gates = jnp.matmul(jnp.flip(x, 0) if backward else x, w.T) + given
    first = jnp.zeros((x.shape[1], r.shape[1]), jnp.float32) if states[0] is None else states[0]
    if n.kind == "GRU":
        after = bool(n.get("linear_before_reset", 0))
        y = looped_gru(gates, first, jnp.asarray(r), jnp.asarray(back), resets_after=after)
    else:
        name = _names(n)[0] if _names(n) else "Tanh"
        y = looped_rnn(gates, first, jnp.asarray(r), jnp.asarray(back), activation=_LOOPED[name])
    return jnp.flip(y, 0) if backward else y, (y[-1],)


def _check(n: OnnxNode, lengths: Any, peepholes: Any) -> None:
    if lengths is not None and not isinstance(lengths, np.ndarray):
        raise n.refuse("takes the lengths of its sequences at run time")
    if peepholes is not None or n.get("clip") is not None or n.get("input_forget", 0):
        raise n.refuse("has peepholes, a clip or coupled gates")
    names = _names(n)
    if n.kind == "RNN" and set(names) <= set(_PLAIN) and len(set(names)) == 1:
        return
    default = _DEFAULTS[n.kind]
    if names and names[: len(default)] != default:
        raise n.refuse(f"has the activations {', '.join(names)}; {', '.join(default)} are covered")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


_NOTE: Final = (
    f"default activations (RNN: Relu and Sigmoid too), written out up to {LOOP_FROM} steps, loops beyond; "
    f"with a free batch at most {LONGEST}"
)
_LSTM_NOTE: Final = f"one op from zero states; else written out, at most {LONGEST} steps, default activations"
RECURRENT: Final[dict[str, OnnxOp]] = {
    "LSTM": OnnxOp(_recurrent, note=_LSTM_NOTE),
    **{kind: OnnxOp(_recurrent, note=_NOTE) for kind in ("GRU", "RNN")},
}

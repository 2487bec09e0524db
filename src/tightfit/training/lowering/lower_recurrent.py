"""UNIDIRECTIONAL_SEQUENCE_LSTM: with or without coupled gates, peepholes, projection and normalization."""

from __future__ import annotations

from typing import Any, Final

from keras import ops

from tightfit.graph.ir import Op
from tightfit.training.lowering.batching import fused, own_shape

_GATES: Final = ("input", "forget", "cell", "output")
_NORMALIZERS: Final = dict(zip(_GATES, range(20, 24), strict=True))
_PEEPHOLES: Final = {"input": 9, "forget": 10, "output": 11}
_EPSILON: Final = 1e-8


def sequence_lstm(op: Op, values: list[Any]) -> Any:
    """Return the output of every time step; the state starts at zero. Source: ``lstm_eval.cc``."""
    values = [*values, *[None] * (24 - len(values))]
    x = values[0]
    time_major = bool(op.options.get("timeMajor"))
    # The batch is merged with the file's own batch axis; time is the first axis.
    rows = own_shape(x)[1 if time_major else 0]
    x = ops.moveaxis(x, 1 if time_major else 2, 0)
    steps, depth = int(x.shape[0]), int(x.shape[-1])
    x = ops.reshape(x, (steps, -1, depth))
    cell = _Cell(op, values)
    # TensorFlow's scan requires one carry with the structure of its output.
    _, outputs = ops.scan(cell.step, cell.start(x), x)
    outputs = ops.reshape(outputs[:, :, : cell.size], (steps, -1, rows, cell.size))
    return ops.moveaxis(outputs, 0, 1 if time_major else 2)


class _Cell:
    """One time step."""

    def __init__(self, op: Op, values: list[Any]) -> None:
        self.values = values
        self.clip = float(op.options.get("cellClip", 0.0))
        self.projection_clip = float(op.options.get("projClip", 0.0))
        self.op = op
        self.units, self.size = (int(d) for d in values[6].shape)

    def start(self, x: Any) -> Any:
        """Return zeros for the output and the cell state of every row of ``x``."""
        zero = ops.sum(x[0], axis=-1, keepdims=True) * 0.0
        return zero * ops.ones((1, self.size + self.units), x.dtype)

    def step(self, carry: Any, x: Any) -> tuple[Any, Any]:
        """Return the next output and cell state, concatenated."""
        hidden, state = carry[:, : self.size], carry[:, self.size :]
        forget = ops.sigmoid(self.gate("forget", x, hidden, state))
        new = 1.0 - forget if self.values[1] is None else ops.sigmoid(self.gate("input", x, hidden, state))
        state = forget * state + new * fused(self.op, self.gate("cell", x, hidden, None))
        state = ops.clip(state, -self.clip, self.clip) if self.clip > 0 else state
        hidden = ops.sigmoid(self.gate("output", x, hidden, state)) * fused(self.op, state)
        carry = ops.concatenate([self.projected(hidden), state], axis=-1)
        return carry, carry

    def gate(self, name: str, x: Any, hidden: Any, state: Any) -> Any:
        """Return the input of a gate's sigmoid.

        Args:
            name: the gate.
            x: the input at this time step.
            hidden: the output of the last step.
            state: the cell state.
        """
        i = _GATES.index(name)
        total = ops.matmul(x, ops.transpose(self.values[1 + i]))
        total = total + ops.matmul(hidden, ops.transpose(self.values[5 + i]))
        peephole = self.values[_PEEPHOLES[name]] if name in _PEEPHOLES else None
        if peephole is not None and state is not None:
            total = total + state * peephole
        scale = self.values[_NORMALIZERS[name]]
        if scale is not None:
            total = total - ops.mean(total, axis=-1, keepdims=True)
            variance = ops.mean(ops.square(total), axis=-1, keepdims=True)
            total = total * ops.rsqrt(variance + _EPSILON) * scale
        bias = self.values[12 + i]
        return total if bias is None else total + bias

    def projected(self, hidden: Any) -> Any:
        """Return the output after its projection, where there is one."""
        if self.values[16] is None:
            return hidden
        hidden = ops.matmul(hidden, ops.transpose(self.values[16]))
        hidden = hidden if self.values[17] is None else hidden + self.values[17]
        limit = self.projection_clip
        return ops.clip(hidden, -limit, limit) if limit > 0 else hidden

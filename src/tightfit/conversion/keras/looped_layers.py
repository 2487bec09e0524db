"""GRU and SimpleRNN layers of Keras as loops; see ``stablehlo.loop_composites``."""

from __future__ import annotations

from typing import Any, Final

import keras
from keras import ops

from tightfit.conversion.stablehlo.loop_composites import looped_gru, looped_rnn

_ACTIVATIONS: Final = {"linear": "LINEAR", "tanh": "TANH", "relu": "RELU", "sigmoid": "LOGISTIC"}


def looped(layer: Any, sequences: Any, states: Any) -> Any:
    """Return what a layer returns, computed by loops; None for a layer that they do not compute.

    Condition: a GRU with tanh and sigmoid, or a SimpleRNN with one of ``_ACTIVATIONS``, that keeps no state.

    Args:
        layer: a recurrent layer.
        sequences: (batch, steps, depth).
        states: the states before the first step; None for zero.
    """
    run = _kind(layer)
    if run is None or layer.stateful:
        return None
    x = ops.flip(sequences, axis=1) if layer.go_backwards else sequences
    first = states[0] if isinstance(states, list | tuple) and states else states
    if first is None or (isinstance(first, list | tuple) and not first):
        first = ops.zeros((x.shape[0], layer.units))
    outputs = ops.swapaxes(run(layer.cell, ops.swapaxes(x, 0, 1), first), 0, 1)
    last = outputs[:, -1]
    result = outputs if layer.return_sequences else last
    return (result, last) if layer.return_state else result


def _kind(layer: Any) -> Any:
    cell = getattr(layer, "cell", None)
    names = [getattr(getattr(layer, n, None), "__name__", "") for n in ("activation", "recurrent_activation")]
    if (
        type(layer) is keras.layers.GRU
        and type(cell) is keras.layers.GRUCell
        and names == ["tanh", "sigmoid"]
    ):
        return _gru
    plain = type(layer) is keras.layers.SimpleRNN and type(cell) is keras.layers.SimpleRNNCell
    return _rnn if plain and names[0] in _ACTIVATIONS else None


def _gru(cell: Any, x: Any, first: Any) -> Any:
    """Return the states of every step; Keras's ``reset_after`` has a bias of its own behind R."""
    given, back = _biases(cell, 3 * cell.units)
    gates = ops.matmul(x, cell.kernel) + given
    recurrent = ops.transpose(cell.recurrent_kernel)
    return looped_gru(gates, first, recurrent, back, resets_after=bool(cell.reset_after))


def _rnn(cell: Any, x: Any, first: Any) -> Any:
    given, back = _biases(cell, cell.units)
    activation = _ACTIVATIONS[cell.activation.__name__]
    gates = ops.matmul(x, cell.kernel) + given
    return looped_rnn(gates, first, ops.transpose(cell.recurrent_kernel), back, activation=activation)


def _biases(cell: Any, rows: int) -> tuple[Any, Any]:
    """The bias of the product with the input, and that of the product with the state."""
    zero = ops.zeros((rows,))
    if not cell.use_bias:
        return zero, zero
    bias = ops.convert_to_tensor(cell.bias)
    return (bias[0], bias[1]) if len(bias.shape) == 2 else (bias, zero)

"""A GRU or plain recurrent layer in JAX as loops of ``.tflite``; see ``graph.ops.recurrent_loop``."""

from __future__ import annotations

from typing import Any, Final

import jax.numpy as jnp

from tightfit.conversion.stablehlo.composite_ops import as_op

ACTIVATIONS: Final = ("LINEAR", "TANH", "RELU", "LOGISTIC")
"""Of a plain recurrent layer; a composite names one by its place."""


def looped_gru(gates: Any, first: Any, recurrent: Any, bias: Any, *, resets_after: bool) -> Any:
    """Return the state after every step, (steps, batch, units).

    Args:
        gates: the product with the input, (steps, batch, 3 · units): update, reset, new.
        first: the state before the first step, (batch, units).
        recurrent: (3 · units, units).
        bias: (3 · units,).
        resets_after: see ``graph.ops.recurrent_loop.Cell``.
    """
    return as_op("GRU", _shape_of_result, gates, first, recurrent, bias, after=int(resets_after))


def looped_rnn(gates: Any, first: Any, recurrent: Any, bias: Any, *, activation: str) -> Any:
    """Return the same for a plain layer, whose ``activation`` is one of ``ACTIVATIONS``."""
    place = ACTIVATIONS.index(activation)
    return as_op("RNN", _shape_of_result, gates, first, recurrent, bias, activation=place)


def _shape_of_result(gates: Any, first: Any, recurrent: Any, bias: Any) -> Any:
    """Stand for the loop: the converter has none, and the source itself gives the answers to compare with."""
    units = recurrent.shape[1]
    return gates[:, :, :units] + jnp.expand_dims(first, 0) + recurrent[0] + bias[:units]

"""A whole LSTM layer in JAX as one op of ``.tflite``: UNIDIRECTIONAL_SEQUENCE_LSTM."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from tightfit.conversion.stablehlo.composite_ops import as_op
from tightfit.graph.ops.sequence_lstm import KIND


def sequence_lstm(x: Any, weights: Any, recurrent: Any, bias: Any) -> Any:
    """Return the hidden state of every step, (batch, time, units), of a layer that begins from zero.

    The function that stands for the op has only its shape: the converter cannot express a loop inside of a
    composite, and the source itself gives the answers that the file is compared with.

    Args:
        x: the input, (batch, time, depth).
        weights: of the gates input, forget, cell, output below one another, (4 · units, depth).
        recurrent: (4 · units, units).
        bias: (4 · units,).
    """
    return as_op(KIND, _shape_of_result, x, weights, recurrent, bias)


def _shape_of_result(x: Any, weights: Any, recurrent: Any, bias: Any) -> Any:
    units = recurrent.shape[1]
    return jnp.broadcast_to(x[:, :, :1], (*x.shape[:2], units)) + bias[:units] + recurrent[0] + weights[0, 0]

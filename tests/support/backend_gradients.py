"""Gradients on whichever backend Keras runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np


def value_and_gradients(
    function: Callable[[list[Any]], Any], arrays: Sequence[np.ndarray]
) -> tuple[float, list[np.ndarray]]:
    """Gives a scalar function's value and its gradients; zeros where it does not depend on an array."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax  # noqa: PLC0415 - one backend is there

        value, found = jax.value_and_grad(function)([jax.numpy.asarray(a) for a in arrays])
    elif backend == "tensorflow":
        import tensorflow as tf  # noqa: PLC0415 - one backend is there

        tensors = [tf.constant(a) for a in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(tensors)
        found = tape.gradient(value, tensors, unconnected_gradients="zero")
    else:
        import torch  # noqa: PLC0415 - one backend is there

        tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
        value = function(tensors)
        value.backward() if value.requires_grad else None
        found = [torch.zeros_like(t) if t.grad is None else t.grad for t in tensors]
    as_numpy = [np.asarray(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(g))) for g in found]
    return float(keras.ops.convert_to_numpy(value)), as_numpy


def with_variables(variables: Sequence[Any], values: Sequence[Any]) -> keras.StatelessScope:
    """Gives the scope in which variables have other values."""
    return keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True)))

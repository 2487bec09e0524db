"""The constants of a graph that belong to layers of a Keras model with ``trainable=False``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import keras
import numpy as np

from tightfit.graph.ir import Graph
from tightfit.training.keras_weights import bias_of, bias_variable, matches
from tightfit.types import Array

_CLOSE: Final = 1e-5
"""Largest relative difference of a constant from the vector of a layer."""
_NAMED: Final = 5


def frozen_constants(model: Any, graph: Graph) -> tuple[frozenset[str], list[str]]:
    """Return the keys of the constants of frozen layers, and notes for the user.

    A folded bias is frozen where the bias or the batch norm that it comes from is.

    Args:
        model: a Keras model.
        graph: what it was converted to.
    """
    layers = [la for la in _layers(model) if any(not v.trainable for v in la._trainable_variables)]  # noqa: SLF001 - those of the layer alone
    if not layers:
        return frozenset(), []
    keys, found, known = graph.keys(), set[str](), set[int]()
    for op, layer, match in matches(model, graph):
        if match.variable.trainable:
            continue
        found.add(keys[match.tensor])
        known.add(id(layer))
        bias, variable = bias_of(op), bias_variable(model, layer, match)
        if bias is not None and (variable is None or not variable.trainable):
            found.add(keys[bias])
    vectors = [v for la in layers for v in _vectors(la)]
    for tensor, key in keys.items():
        if tensor.is_constant and tensor.dtype == "float32" and tensor.size > 1:
            values = np.asarray(tensor.values, np.float32).reshape(-1)
            if any(_is_equal(values, v) for v in vectors):
                found.add(key)
    missing = [la for la in layers if id(la) not in known and not _has_vectors_only(la)]
    return frozenset(found), [*_said(layers, missing)]


def _layers(model: Any) -> list[Any]:
    return list(model._flatten_layers(include_self=False))  # noqa: SLF001 - Keras has no public name


def _vectors(layer: Any) -> Iterator[Array]:
    """The vectors of a frozen layer as they stand in a graph; those of batch norm are folded."""
    for variable in layer._trainable_variables:  # noqa: SLF001 - those of the layer alone
        if len(variable.shape) == 1:
            yield _array(variable)
    if isinstance(layer, keras.layers.BatchNormalization):
        factor = 1.0 / np.sqrt(_array(layer.moving_variance) + layer.epsilon)
        factor = factor if layer.gamma is None else factor * _array(layer.gamma)
        yield factor
        shift = -_array(layer.moving_mean) * factor
        yield shift if layer.beta is None else shift + _array(layer.beta)


def _has_vectors_only(layer: Any) -> bool:
    return all(len(v.shape) < 2 for v in layer._trainable_variables)  # noqa: SLF001 - a matrix


def _array(variable: Any) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(variable.value), np.float32).reshape(-1)


def _is_equal(values: Array, other: Array) -> bool:
    size = float(np.abs(values).max()) if values.size else 0.0
    return values.size == other.size and size > 0 and float(np.abs(values - other).max()) <= _CLOSE * size


def _said(frozen: list[Any], missing: list[Any]) -> Iterator[str]:
    kept = [la for la in frozen if la not in missing]
    if kept:
        yield (
            f"Layers with trainable=False are not trained: {_listed(kept)}. Zeros, clusters and rounding may "
            "still change their weights."
        )
    if missing:
        yield (
            f"Layers with trainable=False whose weights have no counterpart in the converted graph are "
            f"trained: {_listed(missing)}."
        )


def _listed(layers: list[Any]) -> str:
    more = len(layers) - _NAMED
    return ", ".join(la.name for la in layers[:_NAMED]) + (f" and {more} more" if more > 0 else "")

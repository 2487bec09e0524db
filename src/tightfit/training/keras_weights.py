"""Writes the trained constants of a graph back into the Keras model that the graph was converted from.

Conversion folds batch norm: the constant of a layer is ``factor · kernel`` with one factor for each output
channel, transposed. A constant and a kernel belong together where such factors exist, so no name is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Final

import keras
import numpy as np

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.quantization.ops.rule_lookup import find_rule
from tightfit.types import Array

_EQUAL: Final = 1e-3
"""Largest relative difference of a constant from factors times a kernel."""

_AXES: Final = {"DEPTHWISE_CONV_2D": -1, "CONV_3D": -1}
"""Op kind → axis of the output channels, 0 for others."""


@dataclass
class Match:
    """A constant and the variable of a layer.

    Args:
        tensor: the constant.
        variable: of the layer.
        factors: for each row of the output channels.
        split: number of last axes of the variable that are output channels.
    """

    tensor: Tensor
    variable: Any
    factors: Array
    split: int


def with_trained_weights(model: Any, before: Graph, after: Graph) -> Any | None:
    """Return a copy of a Keras model with the constants of a trained graph; None where one has no place.

    Args:
        model: the Keras model that ``before`` was converted from.
        before: its graph.
        after: the same graph with trained constants.
    """
    found = _copy(model)
    if found is None:
        return None
    changes = {a: b for a, b in zip(before.tensors(), after.tensors(), strict=True) if _is_changed(a, b)}
    placed = set[Tensor]()
    for op, layer, match in matches(found, before):
        placed |= {match.tensor}
        if match.tensor in changes:
            _assign(op, match, changes[match.tensor])
        bias = bias_of(op)
        if bias is not None and bias in changes and bias not in placed:
            if not _move_bias(found, layer, match, _values(changes[bias]) - _values(bias)):
                return None
            placed |= {bias}
    return found if set(changes) <= placed else None


def matches(model: Any, graph: Graph) -> Iterator[tuple[Op, Any, Match]]:
    """Yield (op, layer, match) of each constant matrix that belongs to a variable of a layer.

    Args:
        model: a Keras model.
        graph: what it was converted to.
    """
    free, placed = list(_variables(model)), set[Tensor]()
    for op in graph.ops:
        for position in (0, 1):
            tensor = op.input(position)
            if tensor is None or not _is_weight(tensor) or tensor in placed:
                continue
            match = _match(op, tensor, free)
            if match is None:
                continue
            layer = next(la for la, v in free if v is match.variable)
            free = [(la, v) for la, v in free if v is not match.variable]
            placed |= {tensor}
            yield op, layer, match


def _copy(model: Any) -> Any | None:
    """A copy that is compiled like the model; None for a class that Keras cannot copy."""
    compiled = [getattr(model, name, None) for name in ("_compile_loss", "_compile_metrics")]
    said = [vars(part).get(name) for part in compiled if part for name in ("_user_loss", "_user_metrics")]
    functions = {f.__name__: f for f in keras.tree.flatten(said) if isinstance(f, FunctionType)}
    try:
        with keras.saving.custom_object_scope(functions):
            found = keras.models.clone_model(model)
        found.set_weights(model.get_weights())
    except (TypeError, ValueError, NotImplementedError):
        return None
    return found


def _is_weight(tensor: Tensor) -> bool:
    return tensor.is_constant and tensor.dtype == "float32" and len(tensor.shape) > 1


def _is_changed(before: Tensor, after: Tensor) -> bool:
    if not before.is_constant or before.dtype != "float32":
        return False
    return not np.array_equal(_values(before), _values(after))


def _values(tensor: Tensor) -> Array:
    return np.asarray(tensor.data, np.float32)


def _variables(model: Any) -> Iterator[tuple[Any, Any]]:
    """The layers with their matrices."""
    for layer in model._flatten_layers(include_self=False):  # noqa: SLF001 - Keras has no public name
        for variable in layer._trainable_variables:  # noqa: SLF001 - those of the layer alone
            if len(variable.shape) > 1:
                yield layer, variable


def _rows(op: Op, values: Array) -> Array:
    """A constant as (output channels, others)."""
    axis = _AXES.get(op.kind, 0)
    moved = np.moveaxis(values, axis, 0)
    return moved.reshape(moved.shape[0], -1)


def _kernel_rows(variable: Any, split: int) -> Array:
    values = np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
    channels = int(np.prod(values.shape[len(values.shape) - split :]))
    return np.ascontiguousarray(values.reshape(-1, channels).T)


def _match(op: Op, tensor: Tensor, free: list[tuple[Any, Any]]) -> Match | None:
    wanted = _rows(op, _values(tensor))
    for _, variable in free:
        if int(np.prod(variable.shape)) != wanted.size:
            continue
        for split in range(1, len(variable.shape)):
            rows = _kernel_rows(variable, split)
            if rows.shape != wanted.shape:
                continue
            factors = _factors(rows, wanted)
            if factors is not None:
                return Match(tensor, variable, factors, split)
    if op.kind == "GATHER":
        return next((Match(tensor, v, np.ones(1), 0) for _, v in free if _is_table(v, tensor)), None)
    return None


def _is_table(variable: Any, tensor: Tensor) -> bool:
    return tuple(variable.shape) == tensor.shape and bool(
        np.allclose(keras.ops.convert_to_numpy(variable), _values(tensor))
    )


def _factors(rows: Array, wanted: Array) -> Array | None:
    """The factor of each row, or None where rows are not multiples."""
    squares = np.maximum((rows * rows).sum(1), 1e-30)
    factors = (rows * wanted).sum(1) / squares
    error = np.abs(wanted - factors[:, None] * rows).max()
    size = np.abs(wanted).max()
    return factors if size > 0 and error <= _EQUAL * size and (np.abs(factors) > 0).all() else None


def _assign(op: Op, match: Match, after: Tensor) -> None:
    shape = tuple(match.variable.shape)
    if match.split == 0:
        match.variable.assign(_values(after))
        return
    rows = _rows(op, _values(after)) / match.factors[:, None]
    match.variable.assign(np.ascontiguousarray(rows.T).reshape(shape))


def bias_of(op: Op) -> Tensor | None:
    """Return the constant bias of an op, or None."""
    rule = find_rule(op.kind)
    found = None if rule is None or rule.bias is None else op.input(rule.bias)
    return found if found is not None and found.is_constant else None


def _move_bias(model: Any, layer: Any, match: Match, change: Array) -> bool:
    """Add a change of a folded bias to its variable."""
    target = bias_variable(model, layer, match)
    if target is None or int(np.prod(target.shape)) != change.size:
        return not np.abs(change).max() > 0
    moved = np.asarray(keras.ops.convert_to_numpy(target)) + change.reshape(tuple(target.shape))
    target.assign(moved)
    return True


def bias_variable(model: Any, layer: Any, match: Match) -> Any:
    """Return the variable that a folded bias is the sum of: a layer's bias, or the shift of a batch norm."""
    if np.allclose(match.factors, 1.0, atol=1e-6):
        return getattr(layer, "bias", None)
    return next((n.beta for n in _norms(model) if _gives(n, match.factors)), None)


def _norms(model: Any) -> Iterator[Any]:
    for layer in model._flatten_layers(include_self=False):  # noqa: SLF001 - Keras has no public name
        if isinstance(layer, keras.layers.BatchNormalization) and layer.beta is not None:
            yield layer


def _gives(norm: Any, factors: Array) -> bool:
    variance = np.asarray(keras.ops.convert_to_numpy(norm.moving_variance))
    gamma = 1.0 if norm.gamma is None else np.asarray(keras.ops.convert_to_numpy(norm.gamma))
    given = gamma / np.sqrt(variance + norm.epsilon)
    return given.shape == factors.shape and bool(np.allclose(given, factors, rtol=1e-3, atol=1e-6))

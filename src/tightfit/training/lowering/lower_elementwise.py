"""Lowerings of elementwise ops: arithmetic, comparisons, activation functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from keras import ops

from tightfit.graph.ir import Op
from tightfit.training.lowering.batching import align, fused, with_rank

Lowered = Callable[[Op, list[Any]], Any]
_LEAST_NORM: Final = 1e-6


def binary(function: Callable[[Any, Any], Any]) -> Lowered:
    """Return the lowering of a broadcasting op on two operands, with its fused activation function."""

    def lower(op: Op, values: list[Any]) -> Any:
        a, b = align(values)
        return fused(op, function(a, b))

    return lower


def unary(function: Callable[[Any], Any]) -> Lowered:
    """Return the lowering of an op on one operand."""
    return lambda _, values: function(values[0])


def squared_difference(a: Any, b: Any) -> Any:
    """Return ``(a − b)²``."""
    return ops.square(a - b)


def truncated_division(a: Any, b: Any) -> Any:
    """Return a quotient; C rounds that of integers towards zero. Source: ``div.cc``."""
    if "int" not in str(a.dtype):
        return a / b
    quotient = ops.floor_divide(ops.abs(a), ops.abs(b))
    return quotient * ops.cast(ops.sign(a) * ops.sign(b), quotient.dtype)


def floor_division(a: Any, b: Any) -> Any:
    """Return the quotient rounded down. Source: ``floor_div.cc``."""
    return ops.floor(a / b) if "int" not in str(a.dtype) else ops.floor_divide(a, b)


def leaky_relu(op: Op, values: list[Any]) -> Any:
    """LEAKY_RELU: x, or alpha · x below zero."""
    (x,) = values
    return ops.where(x > 0, x, x * float(op.options.get("alpha", 0.0)))


def prelu(_: Op, values: list[Any]) -> Any:
    """PRELU: x, or its channel's slope · x below zero. Source: ``activations.cc``."""
    x, slope = values
    rank = len(x.shape)
    slope = with_rank(ops.expand_dims(slope, 0), rank) if len(slope.shape) < rank else slope
    return ops.where(x > 0, x, x * slope)


def hard_swish(x: Any) -> Any:
    """Return ``x · relu6(x + 3) / 6``."""
    return x * ops.relu6(x + 3.0) * (1.0 / 6.0)


def gelu(op: Op, values: list[Any]) -> Any:
    """GELU, with tanh when the option ``approximate`` is set."""
    return ops.gelu(values[0], approximate=bool(op.options.get("approximate", False)))


def softmax(op: Op, values: list[Any]) -> Any:
    """SOFTMAX of beta · x over the last axis; 1 where that has one value, which Keras would warn of."""
    if values[0].shape[-1] == 1:
        return ops.ones_like(values[0])
    beta = float(op.options.get("beta", 1.0))
    return ops.softmax(values[0] if beta == 1.0 else values[0] * beta, axis=-1)


def log_softmax(x: Any) -> Any:
    """Logarithm of the softmax over the last axis."""
    return ops.log_softmax(x, axis=-1)


def l2_normalization(x: Any) -> Any:
    """Return ``x / max(|x|, 1e-6)`` over the last axis. Source: ``l2normalization.h``."""
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, _LEAST_NORM**2))


def select(_: Op, values: list[Any]) -> Any:
    """SELECT and SELECT_V2; a one-dimensional condition selects whole rows. Source: ``select.cc``."""
    condition, a, b = values
    if len(condition.shape) == 2 and len(a.shape) > 2 and condition.shape[1] == a.shape[1]:
        condition = ops.reshape(condition, (-1, int(condition.shape[1]), *([1] * (len(a.shape) - 2))))
    condition, a, b = align([condition, a, b])
    return ops.where(condition, a, b)


def select_v2(_: Op, values: list[Any]) -> Any:
    """SELECT_V2: all three broadcast."""
    condition, a, b = align(values)
    return ops.where(condition, a, b)


def cast(op: Op, values: list[Any]) -> Any:
    """CAST to the output's type."""
    return ops.cast(values[0], op.outputs[0].dtype)


def sqrt(x: Any) -> Any:
    """Return √x; 0 with gradient 0 where x is not positive, so that no NaN occurs in training."""
    positive = x > 0
    safe = ops.where(positive, x, ops.ones_like(x))
    return ops.where(positive, ops.sqrt(safe), ops.zeros_like(x))


BINARY: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "ADD": ops.add, "SUB": ops.subtract, "MUL": ops.multiply, "DIV": truncated_division,
    "MAXIMUM": ops.maximum, "MINIMUM": ops.minimum, "POW": ops.power,
    "SQUARED_DIFFERENCE": squared_difference, "FLOOR_DIV": floor_division, "FLOOR_MOD": ops.mod,
    "EQUAL": ops.equal, "NOT_EQUAL": ops.not_equal, "LESS": ops.less, "LESS_EQUAL": ops.less_equal,
    "GREATER": ops.greater, "GREATER_EQUAL": ops.greater_equal,
    "LOGICAL_AND": ops.logical_and, "LOGICAL_OR": ops.logical_or,
}  # fmt: skip

UNARY: Final[dict[str, Callable[[Any], Any]]] = {
    "NEG": ops.negative, "ABS": ops.abs, "SQRT": sqrt, "RSQRT": ops.rsqrt, "EXP": ops.exp, "LOG": ops.log,
    "SIN": ops.sin, "COS": ops.cos, "SQUARE": ops.square, "FLOOR": ops.floor, "CEIL": ops.ceil,
    "ROUND": ops.round, "SIGN": ops.sign, "RELU": ops.relu, "RELU6": ops.relu6, "ELU": ops.elu,
    "RELU_N1_TO_1": lambda x: ops.clip(x, -1.0, 1.0), "RELU_0_TO_1": lambda x: ops.clip(x, 0.0, 1.0),
    "HARD_SWISH": hard_swish, "LOGISTIC": ops.sigmoid, "TANH": ops.tanh, "LOG_SOFTMAX": log_softmax,
    "L2_NORMALIZATION": l2_normalization, "LOGICAL_NOT": ops.logical_not, "ZEROS_LIKE": ops.zeros_like,
}  # fmt: skip

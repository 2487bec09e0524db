"""Constant evaluation of builtin ops: one row for each op, with arithmetic in the kernels' order.

float32 results are bit-equal to LiteRT's reference kernels: every operation here is one that IEEE 754
rounds correctly. Ops whose result depends on a math library (EXP, SIN, TANH, float POW …) and float sums,
whose order is the kernel's own, are therefore left to the runtime. ``constant_folding`` decides when a row
applies.

Source: the kernels in ``tflite/kernels`` (``range.cc``, ``floor_div.cc``, ``div.cc``, ``cast.cc`` …).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from tightfit.graph.ir import Op
from tightfit.graph.ops.activations import CLIPS, fused_activation
from tightfit.types import Array

GROWTH_BYTES: Final = 2**20
"""Most bytes by which a computed constant may exceed its inputs: FILL and TILE could make the file huge."""

Kernel = Callable[[Op, list[Array]], "Array | list[Array]"]


class NotComputableError(ValueError):
    """The op is left to the runtime: its options, values or size are not supported here."""


class ConstantOp(NamedTuple):
    """The evaluation of one op kind.

    Args:
        kernel: returns the outputs for an op and its input arrays.
        dtypes: supported element types; None for ops that only move values.
    """

    kernel: Kernel
    dtypes: frozenset[str] | None


def require(condition: object, reason: str) -> None:
    """Raise NotComputableError, which leaves the op to the runtime, unless the condition holds."""
    if not condition:
        raise NotComputableError(reason)


def check_growth(arrays: Sequence[Array], shape: Sequence[int], itemsize: int) -> None:
    """Raise NotComputableError when the result is much larger than the inputs.

    Args:
        arrays: the inputs.
        shape: shape of the result.
        itemsize: bytes of an element of the result.
    """
    given = sum(a.nbytes for a in arrays)
    require(all(d >= 0 for d in shape), "a negative dimension")
    require(math.prod(shape) * itemsize <= given + GROWTH_BYTES, "a result much larger than its inputs")


# -- arithmetic ------------------------------------------------------------------------------------


def _activate(op: Op, values: Array) -> Array:
    """Apply the fused activation where it only clips."""
    name = fused_activation(op)
    require(name in CLIPS, "an activation of the math library")
    return np.clip(values, *CLIPS[name]).astype(values.dtype) if name else values


def _binary(function: Callable[[Array, Array], Array]) -> Kernel:
    def kernel(op: Op, arrays: list[Array]) -> Array:
        a, b = arrays
        require(a.dtype == b.dtype, "operands of two types")
        check_growth(arrays, np.broadcast_shapes(a.shape, b.shape), a.itemsize)
        return _activate(op, function(a, b))

    return kernel


def _unary(function: Callable[[Array], Array]) -> Kernel:
    return lambda _, arrays: function(arrays[0])


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    require(b.all(), "a division by zero")
    # C rounds the quotient of integers towards zero, NumPy down.
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)


def _floor_divide(a: Array, b: Array) -> Array:
    require(b.all(), "a division by zero")
    return np.floor(a / b) if a.dtype.kind == "f" else a // b


def _floor_mod(a: Array, b: Array) -> Array:
    require(b.all(), "a division by zero")
    rest = np.fmod(a, b)
    return np.asarray(np.where((rest != 0) & ((b < 0) != (rest < 0)), rest + b, rest))


def _squared_difference(a: Array, b: Array) -> Array:
    difference = a - b
    return np.asarray(difference * difference)


def _reduction(function: Callable[..., Any]) -> Kernel:
    def kernel(op: Op, arrays: list[Array]) -> Array:
        values, axes = arrays
        require(all(-values.ndim <= a < values.ndim for a in axes.flat), "an axis out of range")
        axis = tuple({int(a) % values.ndim for a in axes.flat})
        require(values.size, "a reduction of nothing")
        keep = bool(op.options.get("keepDims", False))
        return np.asarray(function(values, axis=axis, keepdims=keep), values.dtype)

    return kernel


def _cast(op: Op, arrays: list[Array]) -> Array:
    values, target = arrays[0], np.dtype(op.outputs[0].dtype)
    if values.dtype.kind == "f" and target.kind in "iu":
        limits = np.iinfo(target)
        # Outside of the target's range C leaves the result to the processor.
        inside = np.isfinite(values) & (values >= limits.min) & (values <= limits.max)
        require(inside.all(), "a value outside of the target's range")
    return values.astype(target)


def _range(_: Op, arrays: list[Array]) -> Array:
    start, limit, delta = (a.flat[0] for a in arrays)
    require(delta > 0 if limit >= start else delta < 0, "a range that never ends")
    if arrays[0].dtype.kind == "f":
        count = math.ceil(abs((limit - start) / delta))
    else:
        count = -(-abs(int(limit) - int(start)) // abs(int(delta)))
    check_growth(arrays, [count], arrays[0].itemsize)
    steps = np.full(count, delta, arrays[0].dtype)
    steps[:1] = start
    # The kernel adds step by step; the rounding errors must accumulate in the same way here.
    return np.asarray(np.add.accumulate(steps, dtype=steps.dtype))


def _where(_: Op, arrays: list[Array]) -> Array:
    condition, a, b = arrays
    shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
    check_growth(arrays, shape, a.itemsize)
    return np.where(condition, a, b)


def _select(op: Op, arrays: list[Array]) -> Array:
    condition, a, b = arrays
    require(a.shape == b.shape, "operands of two shapes")
    if condition.ndim == 1 and a.ndim > 1 and condition.size == a.shape[0]:
        condition = condition.reshape([-1, *[1] * (a.ndim - 1)])  # one flag a row
    else:
        require(condition.shape == a.shape or condition.size == 1, "a condition of another shape")
    return _where(op, [condition.reshape(()) if condition.size == 1 else condition, a, b])


_NUMBERS: Final = frozenset({"float32", "int32", "int64"})
_INTEGERS: Final = frozenset({"int32", "int64"})
_FLOATS: Final = frozenset({"float32"})
_FLAGS: Final = frozenset({"bool"})
_CASTS: Final = frozenset({"float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"})


def _rows(functions: dict[str, Kernel], dtypes: frozenset[str] | None) -> dict[str, ConstantOp]:
    return {kind: ConstantOp(kernel, dtypes) for kind, kernel in functions.items()}


ARITHMETIC: Final[dict[str, ConstantOp]] = {
    **_rows(
        {
            "ADD": _binary(np.add), "SUB": _binary(np.subtract), "MUL": _binary(np.multiply),
            "DIV": _binary(_divide), "FLOOR_DIV": _binary(_floor_divide), "FLOOR_MOD": _binary(_floor_mod),
            "MAXIMUM": _binary(lambda a, b: np.where(a > b, a, b)),
            "MINIMUM": _binary(lambda a, b: np.where(a < b, a, b)),
            "SQUARED_DIFFERENCE": _binary(_squared_difference),
            "LESS": _binary(np.less), "LESS_EQUAL": _binary(np.less_equal),
            "GREATER": _binary(np.greater), "GREATER_EQUAL": _binary(np.greater_equal),
            "NEG": _unary(np.negative), "ABS": _unary(np.abs),
            "REDUCE_MAX": _reduction(np.max), "REDUCE_MIN": _reduction(np.min),
            "RANGE": _range,
        },
        _NUMBERS,
    ),
    **_rows({"EQUAL": _binary(np.equal), "NOT_EQUAL": _binary(np.not_equal)}, _NUMBERS | _FLAGS),
    **_rows({"SUM": _reduction(np.sum), "REDUCE_PROD": _reduction(np.prod)}, _INTEGERS),
    **_rows(
        {
            "SQRT": _unary(np.sqrt), "RSQRT": _unary(lambda x: np.float32(1) / np.sqrt(x)),
            "SQUARE": _unary(np.square), "FLOOR": _unary(np.floor), "CEIL": _unary(np.ceil),
            "ROUND": _unary(np.rint),
        },
        _FLOATS,
    ),
    **_rows(
        {
            "LOGICAL_AND": _binary(np.logical_and), "LOGICAL_OR": _binary(np.logical_or),
            "LOGICAL_NOT": _unary(np.logical_not),
        },
        _FLAGS,
    ),
    **_rows({"CAST": _cast}, _CASTS),
    **_rows({"SELECT": _select, "SELECT_V2": _where}, None),
}  # fmt: skip

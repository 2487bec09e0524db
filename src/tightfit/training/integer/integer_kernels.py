"""Integer kernels whose result differs from the rounded float result, for the forward pass of training.

The gradient is that of the float op. A row is needed only where the difference is above one step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from keras import ops

from tightfit.graph.ir import Op
from tightfit.training.integer.rescaling import half_away
from tightfit.types import Array

TABLE_STEPS: Final = 512
_ONE: Final = 32768.0
_SPAN: Final = 65535.0
_LEAST: Final = -10.0
"""The exponential of smaller values is zero."""


def softmax_int16(op: Op, x: Any, input_scale: Any) -> Any:
    """SOFTMAX of int16: an exponential and a reciprocal, each from a table of 513 entries.

    Args:
        op: the op.
        x: reals on the input's grid.
        input_scale: the step of that grid.

    Source: ``softmax.h``, ``SoftmaxInt16``; ``lut.h``, ``LUTPopulateInt16``.
    """
    x = ops.cast(x, "float32")
    beta = float(op.options.get("beta", 1.0))
    steps = ops.round((x - ops.max(x, axis=-1, keepdims=True)) / input_scale)
    scaled = ops.round(steps * (input_scale * beta * (_SPAN / -_LEAST))) + (_ONE - 1)
    powers = _looked_up(EXPONENTIAL, ops.clip(scaled, -_ONE, _ONE - 1))
    total = ops.sum(powers, axis=-1, keepdims=True)
    exponent = ops.floor(ops.log2(ops.maximum(total, 1.0)))
    unit = ops.power(2.0, exponent)
    shifted = ops.floor(total / unit * 65536.0 + 0.5) - 98304.0
    inverse = _looked_up(RECIPROCAL, ops.clip(shifted, -_ONE, _ONE - 1))
    result = ops.floor(powers * (inverse / unit) + 0.5)
    return ops.clip(result, 0.0, _ONE - 1) / _ONE


def _table(function: Callable[[Array], Array], low: float, high: float) -> Array:
    """Values at 513 points, each corrected by half of the interpolation error before the next point."""
    places = np.linspace(low, high, TABLE_STEPS + 1)
    values = function(places) * _ONE
    halves = (high - low) / TABLE_STEPS / 2
    samples = half_away(values)
    middles = half_away((values[1:] + samples[:-1]) / 2) - half_away(function(places[:-1] + halves) * _ONE)
    samples[:-1] -= half_away(middles / 2)
    return np.clip(samples, -_ONE, _ONE - 1).astype(np.float32)


def _looked_up(table: Array, values: Any) -> Any:
    """Interpolate between two entries in 128 steps, as the kernels do."""
    place = ops.floor(values / 128.0)
    offset = values - place * 128.0
    index = ops.cast(place, "int32") + TABLE_STEPS // 2
    base = ops.take(table, index, axis=0)
    slope = ops.take(table, ops.minimum(index + 1, TABLE_STEPS), axis=0) - base
    return base + ops.floor((slope * offset + 64.0) / 128.0)


EXPONENTIAL: Final = _table(np.exp, _LEAST, 0.0)
RECIPROCAL: Final = _table(lambda x: 1.0 / (1.0 + x), 0.0, 1.0)

INTEGER_KERNELS: Final[dict[tuple[str, str], Callable[[Op, Any, Any], Any]]] = {
    ("SOFTMAX", "int16"): softmax_int16,
}
"""(op kind, activation type) → function of (op, input, input scale) that computes the kernel's output."""

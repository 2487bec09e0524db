"""How far a right kernel may be from the float op, in steps of its output.

Both compute on the same real values, so what remains is rounding:

* int8: half a step for the result, less than half a step where a kernel rounds twice (LEAKY_RELU, MEAN);
* int16: half a step, and one for the 16-bit multiplier (relative error 2⁻¹⁵, of 32767 steps) by which
  kernels with 64-bit sums rescale (``MultiplyByQuantizedMultiplier`` of int64);
* int16 table ops: two steps (value, correction, slope and result are rounded, ``LUTPopulate``) and the
  error of interpolating over h = 128 input steps: ``h² / 8 · max |f''| / output scale``;
* REDUCE_PROD rescales after each of n factors: n steps of the 16-bit multiplier;
* RESIZE_BILINEAR rounds positions to 1/1024 of a pixel and adds them up along each axis:
  ``(size / 2) / 1024`` pixels, times the largest difference of neighbours;
* float activations: each of them is off by half a step of its own quantization on the fly, at most
  ``max |x| / 127 / 2``, so a sum is off by that times ``Σ |w|``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from support.one_op_models import Value
from support.one_op_twins import Twin
from tightfit.quantization.ops.op_table import OP_RULES

ROUNDING = {"int8": 1.0, "int16": 1.5}
TABLE_ROUNDING = 2.0
# float32 noise of the reference itself, in steps: 2⁻²⁴ of a few hundred terms against 1/32767.
NOISE = {"int8": 0.01, "int16": 0.05}

CURVATURE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "EXP": np.exp,
    "LOG": lambda x: 1 / x**2,
    "RSQRT": lambda x: 0.75 * x**-2.5,
    "GELU": lambda x: np.sqrt(2 / np.pi) * np.exp(-(x**2) / 2) * np.abs(1 - x**2 / 2),
    "LOGISTIC": lambda x: 0.1 * np.ones_like(x),
    "TANH": lambda x: 0.77 * np.ones_like(x),
}
"""Kind → |f''| of the ops that int16 kernels read from a table (the last two: its maximum)."""


def steps(twin: Twin) -> float:
    """Gives the greatest distance in steps of the output."""
    extra = NOISE[twin.dtype]
    kind = twin.case.kind
    if kind == "REDUCE_PROD":
        factors = twin.op.inputs[0].size / twin.op.outputs[0].size
        return extra + ROUNDING[twin.dtype] + (factors if twin.dtype == "int16" else 0.0)
    if kind == "RESIZE_BILINEAR":
        return extra + ROUNDING[twin.dtype] + _position_error(twin)
    if twin.dtype == "int16" and kind in CURVATURE:
        return extra + TABLE_ROUNDING + _interpolation_error(twin)
    if twin.dtype == "int16" and kind == "SOFTMAX":
        return extra + TABLE_ROUNDING
    return extra + ROUNDING[twin.dtype]


def _position_error(twin: Twin) -> float:
    height, width = twin.op.outputs[0].shape[1:3]
    pixels = (height + width) / 2 / 1024
    return pixels * float(np.ptp(next(iter(twin.inputs.values())).astype(np.float64)))


def _interpolation_error(twin: Twin) -> float:
    source = twin.case.inputs[0]
    assert isinstance(source, Value)
    width = 128 * _scale(twin, 0)
    low = source.low if source.low < 0 else max(source.low - width, 1e-3)
    curvature = CURVATURE[twin.case.kind](np.linspace(low, source.high, 1001))
    return float(width**2 / 8 * curvature.max() / _output_scale(twin))


def _scale(twin: Twin, position: int) -> float:
    return float(twin.op.inputs[position].quantization.scale[0])


def _output_scale(twin: Twin) -> float:
    return float(twin.op.outputs[0].quantization.scale[0])


def weighted_sum(twin: Twin) -> float:
    """Gives the greatest distance of a hybrid op that sums activations times weights, in reals."""
    op = twin.reference.main.ops[0]
    weights = np.abs(op.inputs[OP_RULES[twin.case.kind].dynamic_weights()[0]].data)
    activations = next(iter(twin.inputs.values()))
    # Sorting out which axes a sum runs over is not needed: all weights of an output channel bound it.
    axis = {"DEPTHWISE_CONV_2D": 3, "BATCH_MATMUL": 2}.get(twin.case.kind, 0)
    totals = weights.sum(axis=tuple(i for i in range(weights.ndim) if i != axis))
    return float(np.abs(activations).max() / 127 / 2 * totals.max()) * 1.01


def recurrent(twin: Twin) -> float:
    """Gives the greatest distance of a hybrid recurrent op, in reals, over all of its time steps.

    One step adds ``g = Σ|W| · max|x| / 254 + Σ|R| · (1 / 254 + e)`` to a gate, where e is the error of the
    state so far. With slopes of 1/4 (sigmoid) and 1 (tanh): ``e_c += g · (|c| / 4 + 1 / 4 + 1)`` and
    ``e = g / 4 + e_c``; for plain cells ``e = g``.
    """
    op = twin.reference.main.ops[0]
    cell = twin.case.kind.endswith("LSTM")
    first, recurring = (1, 5) if cell else (1, 2)
    totals = [np.abs(op.inputs[i].data).sum(axis=1).max() for i in (first, recurring)]
    data = next(iter(twin.inputs.values()))
    steps_taken = data.shape[0] if data.ndim == 3 else 1
    state_error = cell_error = 0.0
    for step in range(1, steps_taken + 1):
        gate = totals[0] * np.abs(data).max() / 254 + totals[1] * (1 / 254 + state_error)
        cell_error += gate * (step / 4 + 1.25)
        state_error = gate / 4 + cell_error if cell else gate
    return float(state_error)

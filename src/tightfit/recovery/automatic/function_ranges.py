"""Ranges of what a function of one value reads: what it shrinks or cuts off need not be held finely.

For a tensor x that only ``f`` reads, with a step s between lo and hi, the error behind f is

    Σ s²/12 · f'(x)²  +  Σ (f(x) − f(lo))² over x < lo  +  Σ (f(x) − f(hi))² over x > hi,

all from the histogram of x. A leaky function keeps a tenth of what is negative, so a long negative tail costs
a hundredth of what it costs elsewhere, and may be cut where it makes every step larger.

Source: the error model of Banner et al. 2019, "Post training 4-bit quantization of convolutional networks";
departure: measured on the histogram, and behind the function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.ir import Model, Op, Tensor
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.streaming.tensor_statistics import Statistics

Reals = npt.NDArray[np.float64]
Function = Callable[[Reals], Reals]

_SHRINK: Final = np.concatenate([np.linspace(1.0, 0.2, 48), np.geomspace(0.2, 1 / 256, 25)[1:]])

_GELU: Final = math.sqrt(2 / math.pi)


def _leaky(op: Op) -> Function:
    slope = float(op.options.get("alpha", 0.0))
    return lambda x: np.where(x < 0, slope * x, x)


FUNCTIONS: Final[dict[str, Callable[[Op], Function]]] = {
    "LEAKY_RELU": _leaky,
    "RELU": lambda _: lambda x: np.maximum(x, 0.0),
    "RELU6": lambda _: lambda x: np.clip(x, 0.0, 6.0),
    "RELU_N1_TO_1": lambda _: lambda x: np.clip(x, -1.0, 1.0),
    "LOGISTIC": lambda _: lambda x: 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0))),
    "TANH": lambda _: np.tanh,
    "HARD_SWISH": lambda _: lambda x: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0,
    "ELU": lambda _: lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0.0)), x),
    "GELU": lambda _: lambda x: 0.5 * x * (1.0 + np.tanh(_GELU * (x + 0.044715 * x**3))),
}
"""Op kind → the function that it computes of each value."""


def function_ranges(model: Model, ranges: Ranges, dtype: str = "int8") -> dict[str, Range]:
    """Return tensor key → range, for the tensors of the main graph that only one such function reads.

    Args:
        model: the float model.
        ranges: what calibration saw, with histograms; no range becomes wider than theirs.
        dtype: the integer type.
    """
    found: dict[str, Range] = {}
    outputs = set(model.main.outputs)
    for tensor, key in model.main.keys().items():
        function = None if tensor in outputs else function_behind(tensor)
        limits = None if function is None else ranges.find(0, key, dtype)
        if function is None or limits is None or key not in ranges.statistics[0]:
            continue
        found[key] = best_range(ranges.statistics[0][key], function, limits, dtype)
    return found


def function_behind(tensor: Tensor) -> Function | None:
    """Return the function that alone reads a tensor; None where something else does, or several differ."""
    readers = [op for op, _ in tensor.consumers]
    kinds = {(op.kind, op.options.get("alpha")) for op in readers}
    if tensor.is_constant or len(kinds) != 1 or readers[0].kind not in FUNCTIONS:
        return None
    return FUNCTIONS[readers[0].kind](readers[0])


def best_range(statistics: Statistics, function: Function, limits: Range, dtype: str) -> Range:
    """Return the range within some limits whose rounding and clipping cost least behind a function.

    Args:
        statistics: of the tensor, with a histogram.
        function: of one value.
        limits: (low, high), the widest range.
        dtype: the integer type.

    Example:
        >>> seen = Statistics()
        >>> seen.update(np.linspace(-40, 4, 4096, dtype=np.float32))
        >>> low, high = best_range(seen, lambda x: np.maximum(x, 0.0), (-40.0, 4.0), "int8")
        >>> low > -1.0, high > 3.9
        (True, True)
    """
    counts, centres = statistics.histogram()
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    if counts.size < 2 or not counts.sum() or low == high:
        return limits
    values = function(centres)
    slopes = np.gradient(values, centres)
    weight = float((counts * slopes**2).sum()) / 12.0
    lows, highs = low * _SHRINK, high * _SHRINK
    below = [_clipped(counts, values - function(np.asarray(end)), centres < end) for end in lows]
    above = [_clipped(counts, values - function(np.asarray(end)), centres > end) for end in highs]
    steps = (highs[None, :] - lows[:, None]) / (LIMITS[dtype][1] - LIMITS[dtype][0])
    cost = steps**2 * weight + np.array(below)[:, None] + np.array(above)[None, :]
    i, j = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return max(float(lows[i]), limits[0]), min(float(highs[j]), limits[1])


def _clipped(counts: npt.NDArray[np.int64], errors: Reals, outside: npt.NDArray[np.bool_]) -> float:
    return float((counts[outside] * errors[outside] ** 2).sum())

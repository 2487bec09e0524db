"""The range of each output, by what its rounding costs: measured in NumPy, without running anything.

One scale serves all that an output says. A detector's scores reach far below zero, where nothing depends on
them, and leave few steps for the offsets and sizes of its boxes; cut off there, all others are finer.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.graph.ir import Model
from tightfit.graph.signatures import output_names
from tightfit.quantization.arithmetic import activation_parameters, dequantize, quantize
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.ops.rule_lookup import fixed_output
from tightfit.recovery.automatic.held_out_noise import HeldOutNoise, OutputScale
from tightfit.types import Array

TAILS: Final = (0.0, 0.01, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Percents of the values that are cut off at an end."""

MOST_VALUES: Final = 1 << 18
"""Values that the ranges of one output are compared on."""

_CLEARLY: Final = 0.9
"""A narrower range is taken where its noise is below this share of the whole range's."""


def output_ranges(model: Model, ranges: Ranges, check: HeldOutNoise, dtype: str) -> dict[str, Range]:
    """Return tensor key → range, for the outputs that lose clearly less under a narrower one.

    Args:
        model: the float model.
        ranges: what calibration saw.
        check: holds the float model's outputs.
        dtype: the integer type.
    """
    keys, found = model.main.keys(), {}
    for name, tensor in output_names(model).items():
        limits = ranges.find(0, keys[tensor], dtype) if name in check.wanted else None
        fixed = tensor.producer is not None and fixed_output(tensor.producer, dtype) is not None
        if limits is None or fixed:
            continue
        best = _best(_some(check.wanted[name]), check.scales[name], limits, dtype)
        if best != limits:
            found[keys[tensor]] = best
    return found


def rounding_noise(wanted: list[Array], scale: OutputScale, limits: Range, dtype: str) -> float:
    """Return the noise that storing an output in a range costs, see ``OutputScale``."""
    step, zero_point = activation_parameters(*limits, dtype)
    held = (dequantize(quantize(w, step, zero_point, dtype), step, zero_point) for w in wanted)
    return float(np.mean([scale.share(w, values) for w, values in zip(wanted, held, strict=True)]))


def _best(wanted: list[Array], scale: OutputScale, limits: Range, dtype: str) -> Range:
    values = np.concatenate([w.reshape(-1) for w in wanted])
    lows = sorted({max(limits[0], min(float(np.percentile(values, t)), 0.0)) for t in TAILS})
    highs = sorted({min(limits[1], max(float(np.percentile(values, 100 - t)), 0.0)) for t in TAILS})
    lows[0], highs[-1] = limits
    whole = rounding_noise(wanted, scale, limits, dtype)
    choices = [(low, high) for low in lows for high in highs if low < high]
    noises = [rounding_noise(wanted, scale, choice, dtype) for choice in choices]
    place = int(np.argmin(noises)) if noises else 0
    return choices[place] if noises and noises[place] < _CLEARLY * whole else limits


def _some(wanted: list[Array]) -> list[Array]:
    """Fewer samples of a large output."""
    count = max(2, MOST_VALUES // max(wanted[0].size, 1))
    return wanted[:: max(1, -(-len(wanted) // count))]

"""Weights that already stand on a grid: fake-quantized training, or a model that was quantized before.

A channel stands on a grid of ``n`` steps when every weight is a whole multiple of ``max |w| / n``. The finest
``n`` of a type is 127 for int8 (128 where the largest is negative) and 7 for int4. Its scale loses nothing,
whereas ``max |w| / 127`` would be another grid where the largest integer is below 127.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.quantization.arithmetic import LIMITS
from tightfit.types import Array

_TOLERANCE: Final = 2e-3
"""Of a step: float32 products are off by 1e-5 of one, a random weight is nearer than that once in 250."""
_SURE: Final = 1e-9
"""Largest chance that random weights look so: (2 · tolerance)^weights for each of the steps tried."""
_SAMPLE: Final = 24
_LARGEST: Final = 1 << 22


KEPT: Final = "the weights' own grid"
"""Reason of a storage whose scale was found in the weights."""


def grid_scales(weights: Array, axis: int | None, dtype: str = "int8") -> npt.NDArray[np.float32] | None:
    """Return the scales of the grid that weights stand on, None where they stand on none.

    For each channel the smallest n with all ``w / (max |w| / n)`` whole is found. The scale is the grid's
    step divided by the largest whole number that the type has room for, so biases lose nothing either.

    Args:
        weights: float32, of any shape.
        axis: of the channels, or None for one scale.
        dtype: ``int8``, ``int4`` or ``int2``.

    Returns:
        float32 of shape (channels,) or (1,).

    Example:
        >>> on_grid = np.arange(-5, 6, dtype=np.float32).reshape(1, 11) * np.float32(0.3)
        >>> grid_scales(on_grid, 0, "int4")
        array([0.3], dtype=float32)
        >>> grid_scales(np.linspace(-1, 1, 11, dtype=np.float32).reshape(1, 11) ** 3, 0, "int4") is None
        True
    """
    if weights.size == 0 or weights.dtype != np.float32:
        return None
    rows = (
        weights.reshape(1, -1)
        if axis is None
        else np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
    )
    found = [_step(row, dtype) for row in rows[:2]]
    if any(f is None for f in found):
        return None
    found += [_step(row, dtype) for row in rows[2:]]
    steps = [f for f in found if f is not None]
    if len(steps) < len(found) or sum(chance for _, chance in steps) > math.log(_SURE):
        return None
    known = [step for step, _ in steps if step > 0]
    if not known:
        return None
    return np.asarray([step or min(known) for step, _ in steps], np.float32)


def _step(row: npt.NDArray[np.float32], dtype: str) -> tuple[float, float] | None:
    """The scale of one channel and the log of the chance that it is an accident; None for no grid."""
    top = LIMITS[dtype][1]
    largest = float(np.abs(row).max(initial=0.0))
    if largest == 0.0:
        return 0.0, 0.0
    if not math.isfinite(largest):
        return None
    relative = row.astype(np.float64) / largest
    # 4-bit kernels read −8 as 8 in places, so only int8 uses its lowest integer.
    bottom_only = dtype == "int8" and bool(relative.max() < 1.0)
    candidates = np.arange(1, top + 1 + bottom_only, dtype=np.float64)
    sample = relative[relative != 0][:_SAMPLE]
    for n in candidates[_whole(candidates[:, None] * sample[None, :]).all(axis=1)]:
        if _whole(relative * n).all() and (n <= top or relative.max() * n <= top + _TOLERANCE):
            room = max(int(top // n), 1)
            free = np.unique(np.abs(row)).size - 1
            return largest / (float(n) * room), free * math.log(2 * _TOLERANCE) + math.log(top)
    return None


def _whole(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(values - np.rint(values)) <= _TOLERANCE)

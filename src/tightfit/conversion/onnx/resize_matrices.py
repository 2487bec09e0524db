"""Linear and cubic resampling of one dimension as a matrix, with the antialias filter where a size shrinks.

Source: the Resize document of ONNX. With antialias the kernel is stretched by 1 / scale and normalized;
weights of elements outside count for those at the border.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Line = np.ndarray[Any, Any]


def sampling_matrix(
    mode: str, places: Line, size: int, coefficient: float, shrink: float, exclude_outside: bool
) -> Line:
    """Return the weights of old elements in new ones, (new, old).

    Args:
        mode: ``linear`` or ``cubic``.
        places: where each new element lies in the old line, (new,).
        size: old elements.
        coefficient: of the cubic kernel, −0.75 in ONNX.
        shrink: new size / old size with antialias, at most 1; 1 without.
        exclude_outside: weights of elements outside are zero instead of those of the border.

    Example:
        >>> sampling_matrix("linear", np.array([0.25]), 2, -0.75, 1.0, False).tolist()
        [[0.75, 0.25]]
    """
    kernel = _cubic(coefficient) if mode == "cubic" else _triangle
    reach = (2 if mode == "cubic" else 1) / shrink
    matrix = np.zeros((len(places), size))
    for row, place in enumerate(places):
        taps = np.arange(int(np.floor(place - reach)), int(np.ceil(place + reach)) + 1)
        weights = kernel((taps - place) * shrink)
        if exclude_outside:
            weights = weights * ((taps >= 0) & (taps < size))
        weights = weights / weights.sum()
        np.add.at(matrix[row], np.clip(taps, 0, size - 1), weights)
    return matrix.astype(np.float32)


def _triangle(distance: Line) -> Line:
    return np.asarray(np.maximum(0, 1 - np.abs(distance)))


def _cubic(a: float) -> Callable[[Line], Line]:
    """Keys' kernel."""

    def kernel(distance: Line) -> Line:
        d = np.abs(distance)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0))

    return kernel

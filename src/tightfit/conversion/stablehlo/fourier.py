"""The discrete Fourier transform of reals as a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np


def fourier_matrix(length: int, bins: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return cosines and negative sines of the first bins, (length, 2 · bins).

    Args:
        length: samples of the signal.
        bins: frequencies 0, 1/length, 2/length …

    Example:
        >>> fourier_matrix(2, 2).round(6).tolist()
        [[1.0, 1.0, -0.0, -0.0], [1.0, -1.0, -0.0, -0.0]]
    """
    phase = 2 * np.pi * np.outer(np.arange(length), np.arange(bins)) / length
    return np.concatenate([np.cos(phase), -np.sin(phase)], axis=1).astype(np.float32)

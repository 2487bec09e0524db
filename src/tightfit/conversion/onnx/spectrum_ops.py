"""ONNX DFT and STFT of real signals: products with constant matrices, a convolution for overlapping frames.

Source: the documents of DFT (17, 20) and STFT (17) of ONNX.
"""

from __future__ import annotations

from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from jax import lax

from tightfit.conversion.onnx.onnx_values import OnnxNode, OnnxOp
from tightfit.conversion.stablehlo.fourier import fourier_matrix

_AXIS_IS_INPUT: Final = 20
"""The opset since which DFT takes its axis as an input."""


def _dft(n: OnnxNode, x: Any, length: Any = None, axis: Any = None) -> Any:
    """(batch, …, n, 1) → (batch, …, bins, 2)."""
    place = int(n.get("axis", -2 if n.opset >= _AXIS_IS_INPUT else 1))
    place = place if axis is None else int(n.constant(axis, "axis").reshape(()))
    if x.shape[-1] != 1 or n.get("inverse", 0) or place % x.ndim != x.ndim - 2:
        raise n.refuse("transforms complex numbers, backwards, or another axis than the last")
    size = x.shape[-2] if length is None else int(n.constant(length, "length").reshape(()))
    taken = x[..., :size, 0]
    both = taken @ jnp.asarray(_matrix(size, whole=not n.get("onesided", 0))[: taken.shape[-1]])
    return jnp.stack(jnp.split(both, 2, axis=-1), axis=-1)


def _stft(n: OnnxNode, x: Any, step: Any, window: Any = None, length: Any = None) -> Any:
    """(batch, length, 1) → (batch, frames, bins, 2), by one convolution."""
    if x.ndim == 3 and x.shape[-1] != 1:
        raise n.refuse("transforms complex numbers")
    weights = None if window is None else n.constant(window, "window").reshape(-1)
    size = len(weights) if weights is not None else int(n.constant(length, "length").reshape(()))
    weights = np.ones(size) if weights is None else weights
    matrix = _matrix(size, whole=not n.get("onesided", 1)) * weights[:, None]
    frames = lax.conv_general_dilated(
        x.reshape(x.shape[0], -1, 1),
        jnp.asarray(matrix.astype(np.float32)[:, None, :]),
        (int(n.constant(step, "step").reshape(())),),
        "VALID",
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    return jnp.stack(jnp.split(frames, 2, axis=-1), axis=-1)


def _matrix(size: int, *, whole: bool) -> np.ndarray[Any, np.dtype[np.float32]]:
    return fourier_matrix(size, size if whole else size // 2 + 1)


SPECTRA: Final[dict[str, OnnxOp]] = {
    "DFT": OnnxOp(_dft, note="of reals, forwards, along the last axis"),
    "STFT": OnnxOp(_stft, note="of reals"),
}

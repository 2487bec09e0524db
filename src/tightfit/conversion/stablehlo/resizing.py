"""Resized images in JAX as one op of ``.tflite``: composites that litert-converter writes as RESIZE_….

A composite's body computes the same, for the comparison with the source; it may hold no constants of its own.
Source: ``resize_bilinear.h`` and ``resize_nearest_neighbor.h`` of LiteRT.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def resize_nearest(x: Any, new: Sequence[int]) -> Any:
    """Return images (N, H, W, C) at another size, each value that of the nearest: RESIZE_NEAREST_NEIGHBOR."""
    whole = lax.composite(partial(_nearest, tuple(new)), "tfl.resize_nearest_neighbor")
    return whole(x, size=np.asarray(new, np.int64), is_nchw_op=False)


def resize_bilinear(x: Any, new: Sequence[int], *, corners: bool = False) -> Any:
    """Return images (N, H, W, C) at another size, linear between values: RESIZE_BILINEAR.

    Args:
        x: the images.
        new: height and width.
        corners: whether corner values stay at the corners; else pixels are squares (half_pixel_centers).
    """
    whole = lax.composite(partial(_bilinear, tuple(new), corners), "odml.upsample_bilinear2d")
    return whole(x, size=np.asarray(new, np.int64), align_corners=corners, is_nchw_op=False)


def _nearest(new: tuple[int, ...], x: Any, **_: Any) -> Any:
    return jax.image.resize(x, (x.shape[0], *new, x.shape[-1]), "nearest")


def _bilinear(new: tuple[int, ...], corners: bool, x: Any, **_: Any) -> Any:
    """A product with two sparse matrices."""
    rows, columns = (_matrix(s, w, corners) for s, w in zip(x.shape[1:-1], new, strict=True))
    return jnp.einsum("nhwc,oh,pw->nopc", x, rows, columns)


def _matrix(old: int, new: int, corners: bool) -> Any:
    """Linear interpolation as a matrix (new, old)."""
    at = jnp.arange(new, dtype=jnp.float32)
    place = at * ((old - 1) / max(new - 1, 1)) if corners else (at + 0.5) * (old / new) - 0.5
    distance = abs(jnp.clip(place, 0, old - 1)[:, None] - jnp.arange(old, dtype=jnp.float32))
    return jnp.maximum(0, 1 - distance)

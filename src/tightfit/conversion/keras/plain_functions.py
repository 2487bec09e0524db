"""Functions of Keras on JAX in the form that litert-converter takes, while a model is traced.

Keras writes some functions for the CPU of the training machine: an arg max that separates −0 from 0 by its
bits, a Fourier transform of complex numbers, a sort with a comparator. The converter has no form for them, or
a long one. Written as products with constant matrices, top-k and comparisons they become FULLY_CONNECTED,
CONV_2D, TOPK_V2 and ARG_MAX, which run everywhere, quantize and train.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from jax import lax

from tightfit.conversion.stablehlo.fourier import fourier_matrix
from tightfit.conversion.stablehlo.resizing import resize_bilinear, resize_nearest


def arg_max(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the index of the largest value; −0 and 0 are equal."""
    return jnp.argmax(jnp.asarray(x), axis=axis, keepdims=keepdims)


def arg_min(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the index of the smallest value; −0 and 0 are equal."""
    return jnp.argmin(jnp.asarray(x), axis=axis, keepdims=keepdims)


def digitize(x: Any, bins: Any) -> Any:
    """Return how many of the ascending bin edges are not above each value."""
    edges = jnp.asarray(bins, jnp.float32)
    below = jnp.asarray(x, jnp.float32)[..., None] >= edges
    return jnp.sum(below.astype(jnp.int32), axis=-1)


def sort(x: Any, axis: int = -1) -> Any:
    """Return the values in ascending order along an axis."""
    return _ordered(x, axis, 0)


def arg_sort(x: Any, axis: int | None = -1) -> Any:
    """Return the indices that sort the values; equal ones stay in their order."""
    return _ordered(x, axis, 1)


def _ordered(x: Any, axis: int | None, part: int) -> Any:
    x = jnp.asarray(x)
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    last = jnp.moveaxis(x, axis, -1)
    found = lax.top_k(-last, last.shape[-1])[part]
    return jnp.moveaxis(found if part else -found, -1, axis)


def rfft(x: Any, fft_length: int | None = None) -> tuple[Any, Any]:
    """Return real and imaginary parts of the Fourier transform of reals, by a product with a matrix."""
    x = jnp.asarray(x)
    length = fft_length or x.shape[-1]
    taken = x[..., :length]
    matrix = fourier_matrix(length, length // 2 + 1)[: taken.shape[-1]]
    both = taken @ jnp.asarray(matrix)
    bins = length // 2 + 1
    return both[..., :bins], both[..., bins:]


def stft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> tuple[Any, Any]:
    """Return real and imaginary parts of the short-time Fourier transform: one convolution with a stride.

    The kernel has the window times cosine and sine of each bin: (fft_length, 1, 2 · bins).
    """
    x = jnp.asarray(x)
    left = (fft_length - sequence_length) // 2
    weights = np.ones(fft_length)
    if window is not None:
        given = _window(window, sequence_length) if isinstance(window, str) else np.asarray(window)
        weights = np.pad(given, (left, fft_length - sequence_length - left))
    if center:
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(fft_length // 2,) * 2], mode="reflect")
    kernel = (fourier_matrix(fft_length, fft_length // 2 + 1) * weights[:, None]).astype(np.float32)[
        :, None, :
    ]
    frames = lax.conv_general_dilated(
        x.reshape(-1, x.shape[-1], 1),
        jnp.asarray(kernel),
        (sequence_stride,),
        "VALID",
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    bins = fft_length // 2 + 1
    frames = frames.reshape(*x.shape[:-1], *frames.shape[1:])
    return frames[..., :bins], frames[..., bins:]


def _window(name: str, length: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The periodic window ``hann`` or ``hamming``, which Keras allows."""
    high = 0.5 if name == "hann" else 0.54
    return np.asarray(high - (1 - high) * np.cos(2 * np.pi * np.arange(length) / length))


def resizing(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return Keras's ``image.resize`` with the plain cases as one op each."""

    def resize(
        images: Any, size: Any, interpolation: str = "bilinear", antialias: bool = False, **options: Any
    ) -> Any:
        fitted = options.get("crop_to_aspect_ratio") or options.get("pad_to_aspect_ratio")
        first = (options.get("data_format") or "channels_last") == "channels_first"
        plain = getattr(images, "ndim", 0) == 4 and jnp.issubdtype(images.dtype, jnp.floating)
        if antialias or fitted or first or not plain or interpolation not in _RESIZED:
            return original(images, size, interpolation=interpolation, antialias=antialias, **options)
        return _RESIZED[interpolation](images, [int(n) for n in size])

    return resize


_RESIZED: Final = {"bilinear": resize_bilinear, "nearest": resize_nearest}

_REPLACED: Final[tuple[tuple[str, str, Callable[..., Any]], ...]] = (
    ("numpy", "argmax", arg_max),
    ("numpy", "argmin", arg_min),
    ("numpy", "digitize", digitize),
    ("numpy", "sort", sort),
    ("numpy", "argsort", arg_sort),
    ("math", "rfft", rfft),
    ("math", "stft", stft),
)


@contextlib.contextmanager
def plain_functions() -> Iterator[None]:
    """Let Keras use the plain functions within the block; a function that its version lacks stays."""
    from importlib import import_module  # noqa: PLC0415 - Keras is loaded by the caller

    before: list[tuple[Any, str, Any]] = []
    try:
        for part, name, function in _REPLACED:
            with contextlib.suppress(ImportError):
                module = import_module(f"keras.src.backend.jax.{part}")
                if hasattr(module, name):
                    before.append((module, name, getattr(module, name)))
                    setattr(module, name, function)
        images: Any = import_module("keras.src.backend.jax.image")
        before.append((images, "resize", images.resize))
        images.resize = resizing(images.resize)
        yield
    finally:
        for module, name, function in reversed(before):
            setattr(module, name, function)

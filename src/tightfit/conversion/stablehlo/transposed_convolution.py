"""Transposed convolutions in JAX as litert-converter takes them: without padding, cropped afterwards.

The converter (0.5) drops the padding of a convolution over a dilated input: the result has a wrong shape or
shifted values. Without padding it is exact, and a SLICE takes off what the padding would
have. A fusion then writes the pair as one TRANSPOSE_CONV with SAME padding where that is the same.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Pair = tuple[int, int]


def crop(x: Any, pads: Sequence[Pair], reaches: Sequence[int], dimensions: Sequence[int]) -> Any:
    """Return what a convolution over a dilated input gives with ``pads``, from the result with full padding.

    Args:
        x: the result with ``reach`` zeros before and after each dimension.
        pads: wanted zeros before and after.
        reaches: extent of the window less one, for each dimension.
        dimensions: their places in ``x``.
    """
    widths = [(0, 0)] * x.ndim
    begin, end = [0] * x.ndim, list(x.shape)
    for (low, high), reach, place in zip(pads, reaches, dimensions, strict=True):
        begin[place] = max(0, reach - low)
        end[place] = x.shape[place] - max(0, reach - high)
        widths[place] = max(0, low - reach), max(0, high - reach)
    y = lax.slice(x, begin, end)
    return jnp.pad(y, widths) if any(sum(pair) for pair in widths) else y


def dilate(x: Any, strides: Sequence[int], dimensions: Sequence[int]) -> Any:
    """Return the values with ``stride - 1`` zeros between neighbours, by ops of four dimensions."""
    for stride, place in zip(strides, dimensions, strict=True):
        before, size, after = math.prod(x.shape[:place]), x.shape[place], math.prod(x.shape[place + 1 :])
        apart = jnp.pad(x.reshape(before, size, 1, after), ((0, 0), (0, 0), (0, stride - 1), (0, 0)))
        wide = apart.reshape(*x.shape[:place], size * stride, *x.shape[place + 1 :])
        x = lax.slice_in_dim(wide, 0, (size - 1) * stride + 1, axis=place)
    return x


def widened(kernel: Any, dilations: Sequence[int], dimensions: Sequence[int]) -> Any:
    """Return a kernel with the zeros that its dilation leaves between its values.

    The converter takes no convolution with both a dilated input and a dilated kernel.
    """
    if all(d == 1 for d in dilations):
        return kernel
    if isinstance(kernel, jax.core.Tracer):
        return dilate(kernel, dilations, dimensions)
    values = np.asarray(kernel)
    steps = [1] * values.ndim
    for dilation, place in zip(dilations, dimensions, strict=True):
        steps[place] = dilation
    shape = [(size - 1) * step + 1 for size, step in zip(values.shape, steps, strict=True)]
    wide = np.zeros(shape, values.dtype)
    wide[tuple(slice(None, None, step) for step in steps)] = values
    return wide


@contextlib.contextmanager
def exact_transposes() -> Iterator[None]:
    """Let ``jax.lax.conv_transpose`` compute without padding within the block, and crop."""
    plain = lax.conv_transpose

    def conv_transpose(lhs: Any, rhs: Any, strides: Any, padding: Any, *rest: Any, **named: Any) -> Any:
        options = (
            dict(zip(("rhs_dilation", "dimension_numbers", "transpose_kernel"), rest, strict=False)) | named
        )
        rank = lhs.ndim - 2
        strides = (strides,) * rank if isinstance(strides, int) else tuple(strides)
        if all(s == 1 for s in strides):
            return plain(lhs, rhs, strides, padding, **options)
        numbers = _numbers(lhs, rhs, options.get("dimension_numbers"))
        given = options.get("rhs_dilation")
        dilation = (given or 1,) * rank if isinstance(given, int | None) else given
        rhs, options = widened(rhs, dilation, numbers.rhs_spec[2:]), options | {"rhs_dilation": None}
        reaches = [rhs.shape[i] - 1 for i in numbers.rhs_spec[2:]]
        pads = _pads(padding, reaches, strides)
        if rank == 3:  # .tflite has no transposed convolution over three dimensions
            lhs, strides = dilate(lhs, strides, numbers.lhs_spec[2:]), (1,) * rank
        x = plain(lhs, rhs, strides, [(reach, reach) for reach in reaches], **options)
        return crop(x, pads, reaches, numbers.out_spec[2:])

    lax.conv_transpose = jax.lax.conv_transpose = conv_transpose
    try:
        yield
    finally:
        lax.conv_transpose = jax.lax.conv_transpose = plain


def _numbers(lhs: Any, rhs: Any, given: Any) -> Any:
    """The dimension numbers, by JAX's default where none are given."""
    letters = "HWD"[: lhs.ndim - 2] if lhs.ndim != 5 else "DHW"
    chosen = given if given is not None else (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_dimension_numbers(lhs.shape, rhs.shape, chosen)


def _pads(padding: Any, reaches: Sequence[int], strides: Sequence[int]) -> list[Pair]:
    """The padding of the dilated input. Source: ``_conv_transpose_padding`` of ``jax.lax``."""
    if not isinstance(padding, str):
        return [(int(low), int(high)) for low, high in padding]
    pads = []
    for reach, stride in zip(reaches, strides, strict=True):
        length = reach + stride - 1
        low = reach
        if padding == "SAME":
            low = reach if stride > reach else -(-length // 2)
        else:
            length += max(reach + 1 - stride, 0)
        pads.append((low, length - low))
    return pads

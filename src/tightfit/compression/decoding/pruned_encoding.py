"""Pruned constants: one bit for each element, and the values of those that are not the zero point.

    bytes = elements / 8 + non-zero elements · bytes of one

Source: tflite-micro, ``decode_state_prune.cc``.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.compression.decoding.encoded_weight import EncodedWeight, channel_axis, header, pack_bits
from tightfit.graph.ir import Tensor
from tightfit.types import Array

DTYPES: Final = frozenset({"int8", "int16", "int32", "float32"})
_KIND: Final = 2


def encode_pruned(tensor: Tensor) -> EncodedWeight | None:
    """Return a constant as a mask and its other values; None where DECODE has no zero point for its type.

    Raises:
        ValueError: DECODE cannot find the constant's channels.

    Example:
        >>> encode_pruned(Tensor("w", (8,), "int8", np.array([0, 0, 5, 0, 0, 0, 0, 7], np.int8))).values.hex()
        '21'
    """
    axis = channel_axis(tensor)
    values = tensor.values.reshape(tensor.shape)
    zeros = _zeros(tensor, axis)
    if zeros.any() and tensor.dtype != "int8":
        return None
    patterns = np.ascontiguousarray(values).view(f"i{values.dtype.itemsize}")
    kept = patterns != zeros
    return EncodedWeight("pruned", pack_bits(kept, 1), header(_KIND) + values[kept].tobytes())


def _zeros(tensor: Tensor, axis: int | None) -> Array:
    """The integer that stands for 0 in each channel, in a shape that broadcasts against the constant."""
    q = tensor.quantization
    if q is None or q.zero_point.size == 0:
        return np.zeros(1, np.int64)
    if axis is None:
        return q.zero_point[:1]
    shape = [1] * len(tensor.shape)
    shape[axis] = -1
    return q.zero_point.reshape(shape)

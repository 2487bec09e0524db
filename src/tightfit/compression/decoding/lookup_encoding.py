"""Look-up tables: an index of 1 to 7 bits for each element, and the values of each channel.

A constant with one scale has one table. A constant with a scale a channel has a table a channel, because
DECODE reads as many tables as its output has scales; another number of tables gives wrong values.

Source: tflite-micro, ``decode_state_lut.cc``.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.compression.decoding.encoded_weight import EncodedWeight, channel_axis, header, pack_bits
from tightfit.graph.ir import Tensor
from tightfit.types import Array

DTYPES: Final = frozenset({"int8", "int16", "int32", "float32"})
_KIND: Final = 0
_MOST_BITS: Final = 7
_ONE_TABLE: Final = 15


def encode_lookup(tensor: Tensor) -> EncodedWeight | None:
    """Return a constant as indices and tables; None where a channel has more than 128 values.

    Raises:
        ValueError: DECODE cannot find the constant's channels.
    """
    axis = channel_axis(tensor)
    values = tensor.values.reshape(tensor.shape)
    channels = [values] if axis is None else list(np.moveaxis(values, axis, 0))
    tables, indices = zip(*(_table(channel) for channel in channels), strict=True)
    stride = max(table.size for table in tables)
    bits = max(1, int(stride - 1).bit_length())
    if bits > _MOST_BITS:
        return None
    ordered = indices[0] if axis is None else np.moveaxis(np.stack(indices), 0, axis)
    rows = np.zeros((len(tables), stride), values.dtype)
    for row, table in zip(rows, tables, strict=True):
        row[: table.size] = table
    own = (_ONE_TABLE if axis is None else axis) << 4 | bits
    return EncodedWeight("lookup", pack_bits(ordered, bits), header(_KIND, own, stride) + rows.tobytes())


def _table(channel: Array) -> tuple[Array, Array]:
    """The different bit patterns of a channel, and the position of each element's in them."""
    patterns = np.ascontiguousarray(channel).view(f"i{channel.dtype.itemsize}")
    table, indices = np.unique(patterns, return_inverse=True)
    return table.view(channel.dtype), indices.reshape(channel.shape)

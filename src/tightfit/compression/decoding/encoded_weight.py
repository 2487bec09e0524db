"""What every form of DECODE shares: the header of the ancillary data, and the channels of a constant.

DECODE reads pairs of uint8 constants, the encoded values and the ancillary data, and writes the tensor that
the next op reads. The ancillary data begin with 16 bytes: the form, its version 1, two reserved bytes, then
12 bytes of the form's own, of which the first is again a version 1.

Source: tflite-micro, ``tensorflow/lite/micro/kernels/decode.cc`` and ``decode_state*.cc``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.graph.ir import Tensor
from tightfit.types import Array

HEADER_BYTES: Final = 16
TABLE_BYTES: Final = 256
"""What one more DECODE output costs in the file's tables, about: two tensors, an op and their names."""


@dataclass(frozen=True)
class EncodedWeight:
    """A constant in one form.

    Args:
        form: name of the form in ``decode_ops.FORMS``.
        values: the encoded values.
        ancillary: header and tables.
    """

    form: str
    values: bytes
    ancillary: bytes

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes in the file, with its tables and what DECODE itself costs."""
        return len(self.values) + len(self.ancillary) + TABLE_BYTES


def header(kind: int, *own: int) -> bytes:
    """Return the 16 bytes before a form's tables.

    Args:
        kind: 0 look-up tables, 1 Huffman, 2 pruned.
        own: bytes 5 and following, the form's own.

    Example:
        >>> header(0, 0xF4, 16).hex()
        '0001000001f410000000000000000000'
    """
    return bytes([kind, 1, 0, 0, 1, *own]).ljust(HEADER_BYTES, b"\0")


def channel_axis(tensor: Tensor) -> int | None:
    """Return the axis along which DECODE finds the channels of a constant, None for one channel.

    DECODE takes the channels from the scales of its output: with one scale there is one table for all.

    Raises:
        ValueError: the axis is neither the first nor the last, which DECODE refuses.
    """
    q = tensor.quantization
    if q is None or q.scale.size == 0:
        return None
    if q.scale.size == 1:
        if q.axis:
            raise ValueError(f"one scale at the axis {q.axis}; DECODE takes the axis 0")
        return None
    if q.axis not in (0, len(tensor.shape) - 1):
        raise ValueError(f"scales along the axis {q.axis}; DECODE takes the first or the last")
    return q.axis


def pack_bits(values: Array, bits: int) -> bytes:
    """Return non-negative integers packed with the most significant bit first, padded with zeros to bytes.

    Example:
        >>> pack_bits(np.array([1, 2, 3]), 4).hex()
        '1230'
    """
    columns = (values.reshape(-1, 1) >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(columns.astype(np.uint8).reshape(-1)).tobytes()

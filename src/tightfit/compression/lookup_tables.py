"""Estimate the size of a model in tflite-micro's look-up tables, before ``deploy`` writes such a file.

A constant with few values is stored as an index of ``ceil(log2(values))`` bits for each element, at most 7,
and a table of the values, one for each channel of a per-channel tensor.

Source: tflite-micro, ``tensorflow/lite/micro/docs/compression.md``. Departure: the metadata's own bytes are
left out (about 20 for each tensor).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.graph.ir import Model, Tensor
from tightfit.graph.sparsity import dense_values
from tightfit.types import Array

_MOST_BITS: Final = 7
_SMALLEST: Final = 256


def saved_bytes(model: Model) -> int:
    """Return how many bytes tflite-micro's look-up tables would save on a model's constants.

    Constants that share memory count once. A constant that would grow counts as uncompressed.
    """
    seen: dict[int, int] = {}
    for tensor in (t for graph in model.graphs for t in graph.tensors()):
        data = tensor.data
        if (
            data is None
            or tensor.sparsity is not None
            or data.nbytes < _SMALLEST
            or data.dtype.kind not in "fi"
        ):
            continue
        place = data.__array_interface__["data"][0]
        if place not in seen:
            seen[place] = max(0, data.nbytes - table_bytes(tensor))
    return sum(seen.values())


def table_bytes(tensor: Tensor) -> int:
    """Return the size in bytes of a constant as indices and tables.

    A constant with more than 128 values a channel is not compressed: its own size is returned.

    Example:
        >>> values = np.arange(1024, dtype=np.int16) % 16
        >>> table_bytes(Tensor("w", (1024,), "int8", values.astype(np.int8)))  # 4 bits each, 16 values
        528
    """
    values = dense_values(tensor)
    channels = _channels(tensor, values)
    counts = [np.unique(channel).size for channel in channels]
    bits = max(1, int(np.ceil(np.log2(max(*counts, 2)))))
    if bits > _MOST_BITS:
        return values.nbytes
    return (values.size * bits + 7) // 8 + len(channels) * max(counts) * values.itemsize


def _channels(tensor: Tensor, values: Array) -> list[Array]:
    scales = tensor.quantization
    if scales is None or scales.scale.size <= 1:
        return [values]
    return list(np.moveaxis(values, scales.axis, 0))

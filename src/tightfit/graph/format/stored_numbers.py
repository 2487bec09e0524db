"""Quantization parameters and sparse storage, read from their tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - the reader of the format

from tightfit.graph.format.table_fields import as_list, pick, to_fields
from tightfit.graph.ir import Quantization, Sparsity, Tensor


def read_quantization(packed: Any) -> Quantization | None:
    """Return the quantization parameters of a tensor's table, None without any."""
    if packed is None:
        return None
    scale = np.asarray([] if packed.scale is None else packed.scale, np.float32)
    zero_point = np.asarray([] if packed.zeroPoint is None else packed.zeroPoint, np.int64)
    if zero_point.size == 1 < scale.size:
        zero_point = np.broadcast_to(zero_point, scale.shape)
    if zero_point.size != scale.size:
        zero_point = np.zeros(scale.shape, np.int64)
    details = None
    if packed.details is not None:
        details = (type(packed.details).__name__.removesuffix("T"), to_fields(packed.details))
    low, high = (None if v is None else np.asarray(v, np.float32) for v in (packed.min, packed.max))
    if not scale.size and low is None and high is None and details is None:
        return None
    return Quantization(scale, zero_point, int(packed.quantizedDimension), low, high, details)


def link_details(tensor: Tensor, tensors: list[Tensor]) -> None:
    """Replace the indices of the tensors with blockwise scales by references."""
    quantization = tensor.quantization
    if quantization is None or quantization.details is None:
        return
    kind, fields = quantization.details
    if kind in ("BlockwiseQuantization", "MultiAxisQuantization"):
        for name in ("scales", "zeroPoints"):
            index = fields.get(name, -1)
            fields[name] = None if index < 0 else pick(tensors, index, "a blockwise scale")


def read_sparsity(packed: Any) -> Sparsity | None:
    """Return the storage of a sparse constant, None for a dense one."""
    if packed is None:
        return None
    dimensions: list[tuple[Any, ...]] = []
    for d in packed.dimMetadata or []:
        if d.format == schema.DimensionType.DENSE:
            dimensions.append(("dense", int(d.denseSize)))
        else:
            segments, indices = (np.asarray(v.values) for v in (d.arraySegments, d.arrayIndices))
            dimensions.append(("csr", segments, indices))
    return Sparsity(tuple(as_list(packed.traversalOrder)), tuple(as_list(packed.blockMap)), tuple(dimensions))

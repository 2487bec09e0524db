"""Leave out of a file what tflite-micro does not read, so that it takes less flash.

Source: tflite-micro, ``micro_allocator.cc``: zero points that are all zero may be one; tensors are found by
their index. ``tflite/kernels/kernel_util.cc``: with a scale a channel, the scales of a bias are not read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Quantization, Tensor

PLANNED: Final = "OfflineMemoryAllocation"
"""Metadata with the place of each tensor in the arena, by its index in the file."""
_WITH_BIAS: Final = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}


def strip_model(model: Model) -> Model:
    """Return a copy of a model without names, signatures, metadata, and scales that no kernel reads.

    A file with a memory plan is copied as it is, because the plan counts tensors.
    """
    stripped = copy_model(model)
    if PLANNED in stripped.metadata:
        return stripped
    stripped.metadata.clear()
    stripped.signatures.clear()
    stripped.attached.clear()
    stripped.description = None
    for graph in stripped.graphs:
        graph.name = ""
        graph.drop_loose()
        for tensor in graph.tensors():
            tensor.name = ""
            tensor.quantization = _needed(tensor)
    return stripped


def _needed(tensor: Tensor) -> Quantization | None:
    q = tensor.quantization
    if q is None or not q.is_affine:
        return None
    if tensor.is_constant and q.scale.size > 1:
        if _is_bias(tensor):
            return None
        if not q.zero_point.any():
            return replace(q, zero_point=q.zero_point[:1], range_min=None, range_max=None)
    return replace(q, range_min=None, range_max=None)


def _is_bias(tensor: Tensor) -> bool:
    return bool(tensor.consumers) and all(_WITH_BIAS.get(op.kind) == p for op, p in tensor.consumers)

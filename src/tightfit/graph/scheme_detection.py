"""Detect the scheme of a file by the storage of its weights and the type of its activations."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.ops.macs import data_input, weight_tensors

_ENOUGH: Final = 0.95
"""Least fraction of the weights with the scheme: converters keep small tensors in float."""

_WIDTHS: Final = {"int2": 2, "int4": 4, "int8": 8, "uint8": 8}
_FORWARDS: Final = ("DEQUANTIZE", "DENSIFY", "RESHAPE", "TRANSPOSE")


def describe_scheme(model: Model) -> str:
    """Return the scheme's name: what at least 95 % of the weights have, or ``mixed``.

    ``float32``; ``float16``; ``weight8`` (integers behind DEQUANTIZE); ``dynamic`` (integer weights beside
    float data); ``weight4`` (either way); ``int8``; ``int8x4``; ``int16x8`` (also as float islands); … A
    4-bit scheme has most weights in 4 bits and the others in 8. A model without weights is named by its
    activations.
    """
    sizes: Counter[str] = Counter()
    for graph in model.graphs:
        for op in graph.ops:
            for weight in weight_tensors(op):
                constant, unpacked = stored_weight(weight)
                if constant is not None:
                    sizes[_scheme(op, constant, unpacked)] += constant.size
    if not sizes.total():
        return _by_activations(model)
    name, size = sizes.most_common(1)[0]
    size += sum(size for other, size in sizes.items() if _is_wider(other, name))
    return name if size >= _ENOUGH * sizes.total() else "mixed"


def stored_weight(weight: Tensor) -> tuple[Tensor | None, bool]:
    """Return the constant that a weight is computed from, or None, and whether a DEQUANTIZE unpacks it."""
    unpacked, current = False, weight
    while not current.is_constant:
        op = current.producer
        source = None if op is None else op.input(0)
        if op is None or op.kind not in _FORWARDS or source is None:
            return None, unpacked
        unpacked = unpacked or op.kind == "DEQUANTIZE"
        current = source
    return current, unpacked


def _scheme(op: Op, constant: Tensor, unpacked: bool) -> str:
    data = data_input(op)
    dtype = "float32" if data is None else data.dtype
    if unpacked:
        island = data is not None and data.producer is not None and data.producer.kind == "DEQUANTIZE"
        source = data.producer.input(0) if island and data is not None and data.producer is not None else None
        if source is not None and source.dtype == "int16" and constant.dtype in _WIDTHS:
            return f"int16x{_WIDTHS[constant.dtype]}"
        return _weights_only(constant.dtype)
    if dtype == "float32":
        return "dynamic" if _WIDTHS.get(constant.dtype) == 8 else _weights_only(constant.dtype)
    if dtype == "int16":
        return f"int16x{_WIDTHS.get(constant.dtype, 16)}"
    if dtype in ("int8", "uint8"):
        width = _WIDTHS.get(constant.dtype)
        return "int8" if width == 8 else f"int8x{width or '?'}"
    return dtype


def _weights_only(dtype: str) -> str:
    """Return the name of a scheme that stores weights so and computes in float, such as ``weight4``."""
    return f"weight{_WIDTHS[dtype]}" if dtype in _WIDTHS else dtype


def _is_wider(scheme: str, narrow: str) -> bool:
    """Return whether a scheme is one that a narrow scheme's small and depthwise weights have.

    Example:
        >>> _is_wider("dynamic", "weight4"), _is_wider("int8", "int8x4"), _is_wider("int16x8", "int8x4")
        (True, True, False)
    """
    (kind, width), (other, narrower) = _parts(scheme), _parts(narrow)
    return kind == other and width > narrower


def _parts(scheme: str) -> tuple[str, int]:
    """Return what a scheme computes with, and the bits of its weights, 0 for real ones."""
    known = {"dynamic": ("weight", 8), "int8": ("int8x", 8)}
    match = re.fullmatch(r"(weight|int\d+x)(\d+)", scheme)
    return known.get(scheme) or ((match[1], int(match[2])) if match else (scheme, 0))


def _by_activations(model: Model) -> str:
    for dtype, name in (("int16", "int16x8"), ("int8", "int8"), ("uint8", "int8")):
        written = (t for graph in model.graphs for op in graph.ops for t in op.outputs)
        if any(t.dtype == dtype and t.is_quantized for t in written):
            return name
    return "float32"

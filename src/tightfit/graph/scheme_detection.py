"""Which scheme a file has, seen from how its weights are stored and what they are multiplied with."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.macs import data_input, weight_tensors

_ENOUGH: Final = 0.95
"""Share of the weights that names the model: converters leave small tensors in float."""

_UNPACKED: Final = {
    "float16": "float16",
    "int8": "weight8",
    "uint8": "weight8",
    "int4": "weight4",
    "int2": "weight2",
}
_BESIDE_FLOAT: Final = {
    "float32": "float32", "float16": "float16", "bfloat16": "bfloat16", "int8": "dynamic", "uint8": "dynamic",
    "int4": "weight4", "int2": "weight2",
}  # fmt: skip
_WIDTHS: Final = {"int8": "8", "uint8": "8", "int4": "4", "int2": "2"}
_WIDER: Final = {
    "weight4": ("dynamic", "weight8"), "weight2": ("dynamic", "weight8", "weight4"),
    "int8x4": ("int8",), "int8x2": ("int8", "int8x4"), "int16x4": ("int16x8",),
}  # fmt: skip
"""Scheme → those that its small and depthwise weights have, which are stored wider."""
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
    size += sum(sizes[wider] for wider in _WIDER.get(name, ()))
    return name if size >= _ENOUGH * sizes.total() else "mixed"


def stored_weight(weight: Tensor) -> tuple[Tensor | None, bool]:
    """Return the constant that a weight comes from, None for none, and whether DEQUANTIZE unpacks it."""
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
        return _UNPACKED.get(constant.dtype, constant.dtype)
    if dtype == "float32":
        return _BESIDE_FLOAT.get(constant.dtype, constant.dtype)
    if dtype == "int16":
        return f"int16x{_WIDTHS.get(constant.dtype, '16')}"
    if dtype in ("int8", "uint8"):
        return "int8" if constant.dtype in ("int8", "uint8") else f"int8x{_WIDTHS.get(constant.dtype, '?')}"
    return dtype


def _by_activations(model: Model) -> str:
    for dtype, name in (("int16", "int16x8"), ("int8", "int8"), ("uint8", "int8")):
        written = (t for graph in model.graphs for op in graph.ops for t in op.outputs)
        if any(t.dtype == dtype and t.is_quantized for t in written):
            return name
    return "float32"

"""Limits on scales and zero points. See ``tensor_limits``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tightfit.graph.ir import Op, Tensor
from tightfit.targets.limits.operand_roles import data, data_inputs, data_tensors, weights
from tightfit.targets.limits.tensor_limits import listed

_UNSIGNED = ("uint8", "uint16", "uint32")


def quantized(op: Op) -> str | None:
    """Every feature map and the weights carry a scale and a zero point.

    Fix: quantize the model with tightfit, which gives every tensor its scale.
    """
    needed = ["int8", "uint8", "int16", "uint16", "float32", "float16"]
    kernel = weights(op)
    tensors = [*data_tensors(op), *([kernel] if kernel is not None else [])]
    if op.kind == "QUANTIZE":
        needed.append("int32")
    return listed(t for t in tensors if t.dtype in needed and not t.is_quantized)


def one_scale(op: Op) -> str | None:
    """Tensors have one scale, not one for each channel.

    Fix: quantize this op's constants with one scale.
    """
    found = [t for t in (*op.inputs, *op.outputs) if t is not None and t.is_quantized]
    return listed(t for t in found if t.quantization is not None and t.quantization.scale.size > 1)


def scale_below(op: Op, *, most: float) -> str | None:
    """Scales are below {most}.

    Fix: divide the values in the model before this op.
    """
    found = [t for t in (*op.inputs, *op.outputs) if t is not None and t.is_quantized]
    return listed(t for t in found if t.quantization is not None and t.quantization.scale.max() >= most)


def zero_point_range(op: Op, *, signed: Sequence[int], unsigned: Sequence[int]) -> str | None:
    """Zero points are {signed} for signed and {unsigned} for unsigned feature maps, 0 for 32 bits.

    Fix: quantize again with tightfit.
    """
    wrong = []
    for t in data_tensors(op):
        if t.quantization is None or not t.is_quantized:
            continue
        low, high = unsigned if t.dtype in _UNSIGNED else (0, 0) if t.dtype == "int32" else signed
        if t.quantization.zero_point.min() < low or t.quantization.zero_point.max() > high:
            wrong.append(t)
    return listed(wrong)


def same_quantization(op: Op) -> str | None:
    """Inputs and output share one scale and zero point.

    Fix: --fix puts a QUANTIZE before the inputs that differ.
    """
    first = op.outputs[0]
    return listed(t for t in data_inputs(op)[:2] if not equal_quantization(t, first))


def same_scale(op: Op) -> str | None:
    """Input and output share one scale.

    Fix: put a QUANTIZE before the op.
    """
    source, target = data(op).quantization, op.outputs[0].quantization
    if source is None or target is None or not source.scale.size or not target.scale.size:
        return None
    return None if source.scale[0] == target.scale[0] else f"{source.scale[0]} and {target.scale[0]}"


def equal_quantization(a: Tensor, b: Tensor) -> bool:
    """True when two tensors stand for the same numbers by the same integers."""
    p, q = a.quantization, b.quantization
    if p is None or q is None:
        return p is q
    return bool(np.array_equal(p.scale, q.scale) and np.array_equal(p.zero_point, q.zero_point))


def no_hybrid(op: Op) -> str | None:
    """Weights of float layers are float.

    Fix: quantize to int8 or int16x8 instead of dynamic range.
    """
    kernel = weights(op)
    mixed = kernel is not None and data(op).dtype == "float32" and kernel.dtype in ("int8", "int4", "uint8")
    return "they are integers" if mixed else None


def int4_weights(op: Op, *, types: Sequence[str]) -> str | None:
    """int4 weights meet {types} activations.

    Fix: --fix stores int4 weights as int8.
    """
    kernel = weights(op)
    wrong = kernel is not None and kernel.dtype == "int4" and data(op).dtype not in types
    return f"the input is {data(op).dtype}" if wrong else None


def int4_one_scale(op: Op) -> str | None:
    """int4 weights of a dense layer have one scale.

    Fix: --fix stores int4 weights as int8.
    """
    kernel = weights(op)
    if kernel is None or kernel.dtype != "int4" or kernel.quantization is None:
        return None
    return f"they have {kernel.quantization.scale.size}" if kernel.quantization.scale.size > 1 else None

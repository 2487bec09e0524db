"""QONNX (Brevitas, FINN, hls4ml): one op ``Quant`` rounds reals to a number of bits that is an input."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import helper

from tightfit.conversion.qdq.qdq_parameters import QdqParameters
from tightfit.conversion.qdq.walker import Form, Walker

_LARGEST: Final = 8


def _quant(walker: Walker, node: onnx.NodeProto) -> None:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    scale, zero, bits = (walker.constant(n) for n in node.input[1:4])
    if scale is None or zero is None or bits is None:
        raise walker.refuse(node, "computes its scale or number of bits at run time")
    width, value = float(bits.reshape(-1)[0]), walker.constant(node.input[0])
    if value is not None and width > _LARGEST:  # a bias: its kernel has 32 bits of its own
        steps = np.rint(value.astype(np.float64) / scale) * scale
        walker.alias[node.output[0]] = walker.store(walker.fresh(node.input[0]), steps.astype(np.float32))
        return
    if width != int(width) or width > _LARGEST or attributes.get("rounding_mode", b"ROUND") != b"ROUND":
        raise walker.refuse(
            node, f"rounds to {width:g} bits in a way that LiteRT has not; it has up to 8, to nearest"
        )
    signed = bool(attributes.get("signed", 1))
    low, high = (-(2 ** (int(width) - 1)), 2 ** (int(width) - 1) - 1) if signed else (0, 2 ** int(width) - 1)
    low += int(bool(attributes.get("narrow", 0))) if signed else 0
    parameters = _parameters(walker, node, scale, zero, signed=signed)
    if value is not None:
        integers = np.clip(parameters.quantize(value), low, high)
        name = walker.fresh(node.input[0])
        walker.known[name] = integers
        walker.alias[node.output[0]] = walker.dequantized(node, name, parameters)
        return
    ends = [float(parameters.dequantize(np.asarray(v)).reshape(-1)[0]) for v in (low, high)]
    names = [walker.store(walker.fresh("end"), np.asarray(end, np.float32)) for end in ends]
    clipped, integers_name = walker.fresh(node.output[0]), walker.fresh(node.output[0])
    walker.emit("Clip", [walker.real(node.input[0]), *names], clipped, node)
    walker.round(node, clipped, integers_name, parameters)
    walker.alias[node.output[0]] = walker.ints[integers_name][0]


def _parameters(
    walker: Walker, node: onnx.NodeProto, scale: np.ndarray, zero: np.ndarray, *, signed: bool
) -> QdqParameters:
    """The scale's shape says along which axis it goes."""
    wide = scale.astype(np.float32).reshape(-1)
    axes = [i for i, n in enumerate(scale.shape) if n > 1]
    if len(axes) > 1:
        raise walker.refuse(node, "has a scale for each of several axes")
    zeros = np.broadcast_to(zero.reshape(-1).astype(np.int64), wide.shape).copy()
    return QdqParameters("int8" if signed else "uint8", wide, zeros, axes[0] if axes else None)


FORMS: Final[dict[tuple[str, str], Form]] = {
    (domain, "Quant"): _quant
    for domain in ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
}

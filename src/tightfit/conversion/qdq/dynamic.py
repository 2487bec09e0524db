"""Models whose activations get their range at run time (onnxruntime's ``quantize_dynamic``).

The right form in ``.tflite`` is dynamic range: integer weights beside float activations. So the activations
stay real here and only the weights keep their scales.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import helper

from tightfit.conversion.qdq.node_order import MICROSOFT
from tightfit.conversion.qdq.qdq_parameters import Array, QdqParameters
from tightfit.conversion.qdq.walker import Form, Walker

_NOTE: Final = (
    "Ranges of activations come at run time in the source; the file has integer weights beside float "
    "activations (dynamic range), which rounds them in its own way."
)


def _dynamic_quantize(walker: Walker, node: onnx.NodeProto) -> None:
    """The integers stand for the reals themselves, so their scale is 1 and their zero point 0."""
    one = QdqParameters("uint8", np.ones(1, np.float32), np.zeros(1, np.int64))
    walker.ints[node.output[0]] = walker.real(node.input[0]), one
    walker.store(node.output[1], np.asarray(1, np.float32))
    walker.store(node.output[2], np.asarray(0, np.uint8))
    if _NOTE not in walker.result.notes:
        walker.result.notes.append(_NOTE)


def _product(op: str, axis: int) -> Form:
    """ConvInteger, MatMulInteger: the float op on the weights' reals; the scale behind it is taken out."""

    def form(walker: Walker, node: onnx.NodeProto) -> None:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        weights, point = node.input[1], node.input[3] if len(node.input) > 3 else ""
        if walker.constant(weights) is None or node.input[0] not in walker.ints:
            raise walker.refuse(node, "multiplies integers whose scales are not known")
        scale = _weight_scale(walker, node)
        zero = walker.constant(point) if point else None
        zeros = np.zeros(1, np.int64) if zero is None else zero.astype(np.int64).reshape(-1)
        size = max(scale.size, zeros.size)
        parameters = QdqParameters(
            walker.dtype_of(weights), np.broadcast_to(scale, (size,)).astype(np.float32).copy(),
            np.broadcast_to(zeros, (size,)).copy(), axis if size > 1 else None,
        )  # fmt: skip
        raw = walker.fresh(node.output[0])
        reals = walker.dequantized(node, weights, parameters, dynamic=True)
        walker.emit(op, [walker.real(node.input[0]), reals], raw, node, **attributes)
        walker.alias[node.output[0]] = raw

    return form


def _weight_scale(walker: Walker, node: onnx.NodeProto) -> Array:
    """The constant that the result is multiplied with; that product becomes 1 (it is in the weights)."""
    found: Array | None = None
    for cast in walker.uses.get(node.output[0], []):
        for product in walker.uses.get(cast.output[0], []) if cast.op_type == "Cast" else []:
            factor = next((n for n in product.input if n != cast.output[0]), "")
            found = _constant_factor(walker, factor)
            if product.op_type == "Mul" and found is not None:
                walker.store(factor, np.ones((), np.float32))
                return found.reshape(-1)
    return np.ones(1, np.float32)


def _constant_factor(walker: Walker, name: str) -> Array | None:
    """A constant, or a constant times the scale that is found at run time."""
    if walker.constant(name) is not None:
        return walker.constant(name)
    maker = next((n for n in walker.source.graph.node if name in n.output), None)
    if maker is None or maker.op_type != "Mul":
        return None
    values = [walker.constant(i) for i in maker.input]
    if any(v is None for v in values):
        return None
    return np.asarray(values[0] * values[1], np.float32)  # type: ignore[operator] # none is None


def _lstm(walker: Walker, node: onnx.NodeProto) -> None:
    """DynamicQuantizeLSTM: an LSTM whose weights are stored transposed."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    read = [walker.real(n) for n in node.input[:8]]
    for position, scale in ((1, 8), (2, 10)):
        point = node.input[scale + 1] if scale + 1 < len(node.input) else ""
        name = node.input[position]
        integers, scales = walker.constant(name), walker.constant(node.input[scale])
        zeros = walker.constant(point) if point else np.zeros(1)
        if integers is None or scales is None or zeros is None:
            raise walker.refuse(node, "has weights that are computed at run time")
        wide = [v.reshape(v.shape[0], 1, -1) if v.ndim == 2 else v.reshape(-1, 1, 1) for v in (scales, zeros)]
        reals = ((integers.astype(np.float64) - wide[1]) * wide[0]).astype(np.float32)
        read[position] = walker.store(walker.fresh(name), np.ascontiguousarray(reals.transpose(0, 2, 1)))
    written = helper.make_node("LSTM", read, list(node.output), name=node.name, **attributes)
    walker.nodes.append(written)


FORMS: Final[dict[tuple[str, str], Form]] = {
    ("", "DynamicQuantizeLinear"): _dynamic_quantize,
    ("", "ConvInteger"): _product("Conv", 0),
    ("", "MatMulInteger"): _product("MatMul", -1),
    (MICROSOFT, "DynamicQuantizeLSTM"): _lstm,
}

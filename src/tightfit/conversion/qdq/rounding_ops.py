"""QuantizeLinear and DequantizeLinear as the producers write them. Each row is in both domains."""

from __future__ import annotations

from typing import Final

import onnx
from onnx import helper

from tightfit.conversion.qdq.block_scales import unblocked
from tightfit.conversion.qdq.node_order import MICROSOFT, TYPES
from tightfit.conversion.qdq.walker import Form, Walker


def _quantize(walker: Walker, node: onnx.NodeProto) -> None:
    """QuantizeLinear of an activation, or of a constant (AIMET, onnxruntime's AddQDQPairToWeight)."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    given = TYPES.get(attributes.get("output_dtype", 0), "uint8")
    if attributes.get("block_size"):
        raise walker.refuse(node, "quantizes in blocks, which no activation of LiteRT does")
    zero = node.input[2] if len(node.input) > 2 else ""
    parameters = walker.parameters(node, node.input[1], zero, given, attributes.get("axis", 1))
    value = walker.constant(node.input[0])
    if value is None:
        walker.round(node, walker.real(node.input[0]), node.output[0], parameters)
        return
    name = node.output[0]
    walker.known[name] = parameters.quantize(value)
    walker.kept[name] = onnx.TensorProto(
        name=name, data_type=int(getattr(onnx.TensorProto, parameters.dtype.upper()))
    )


def _dequantize(walker: Walker, node: onnx.NodeProto) -> None:
    """DequantizeLinear of a constant or of an integer value."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    zero = node.input[2] if len(node.input) > 2 else ""
    if attributes.get("block_size"):
        walker.alias[node.output[0]] = unblocked(walker, node, attributes)
        return
    source = node.input[0]
    own = walker.dtype_of(source) or (walker.ints[source][1].dtype if source in walker.ints else "uint8")
    parameters = walker.parameters(node, node.input[1], zero, own, attributes.get("axis", 1))
    walker.alias[node.output[0]] = walker.dequantized(node, source, parameters)


_OWN: Final[dict[tuple[str, str], Form]] = {
    ("", "QuantizeLinear"): _quantize,
    ("", "DequantizeLinear"): _dequantize,
}
FORMS: Final[dict[tuple[str, str], Form]] = _OWN | {(MICROSOFT, op): form for (_, op), form in _OWN.items()}

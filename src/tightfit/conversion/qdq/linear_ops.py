"""onnxruntime's operators on integers (``QLinear…``) become float ops between the scales that they name.

One row an op: where value, scale and zero point of each operand and of the result stand. Source: the operator
documents of ONNX and of ``com.microsoft``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper

from tightfit.conversion.qdq.node_order import MICROSOFT
from tightfit.conversion.qdq.qdq_parameters import QdqParameters
from tightfit.conversion.qdq.walker import Form, Walker

_ONLY_INTEGER: Final = frozenset({"channels_last", "opset"})


@dataclass(frozen=True)
class LinearOp:
    """One operator on integers.

    Args:
        op: the float operator.
        operands: positions of value, scale and zero point of each.
        result: positions of the result's scale and zero point.
        bias: position of an int32 bias, or None.
        axes: channel axis of each operand where it has several scales.
    """

    op: str
    operands: tuple[tuple[int, int, int], ...]
    result: tuple[int, int]
    bias: int | None = None
    axes: tuple[int, ...] = (1, 0)

    def __call__(self, walker: Walker, node: onnx.NodeProto) -> None:
        """Write the float op between its roundings.

        Args:
            walker: writes the nodes.
            node: the operator on integers.
        """
        attributes = {
            a.name: helper.get_attribute_value(a) for a in node.attribute if a.name not in _ONLY_INTEGER
        }
        if any(a.name == "channels_last" and a.i for a in node.attribute):
            raise walker.refuse(node, "has its channels last, which no float op of ONNX has")
        read = [_operand(walker, node, *o, self._axis(i, attributes)) for i, o in enumerate(self.operands)]
        inputs = [name for name, _ in read]
        if self.bias is not None and len(node.input) > self.bias and node.input[self.bias]:
            inputs.append(_bias(walker, node, self.bias, read[0][1], read[1][1]))
        raw = walker.fresh(node.output[0])
        walker.emit(self.op, inputs, raw, node, **_kept(self.op, attributes))
        _give(walker, node, raw, *self.result)

    def _axis(self, operand: int, attributes: dict[str, Any]) -> int:
        if self.op == "Gemm" and operand == 1:
            return 0 if attributes.get("transB", 0) else 1
        return self.axes[min(operand, len(self.axes) - 1)]


def _kept(op: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in attributes.items() if op != "GlobalAveragePool"}


def _operand(
    walker: Walker, node: onnx.NodeProto, value: int, scale: int, zero: int, axis: int
) -> tuple[str, QdqParameters]:
    name = node.input[value]
    own = walker.dtype_of(name) or (walker.ints[name][1].dtype if name in walker.ints else "uint8")
    point = node.input[zero] if zero < len(node.input) else ""
    parameters = walker.parameters(node, node.input[scale], point, own, axis)
    return walker.dequantized(node, name, parameters), parameters


def _bias(
    walker: Walker, node: onnx.NodeProto, position: int, source: QdqParameters, weights: QdqParameters
) -> str:
    """An int32 bias has no scale of its own: it is that of the product."""
    scale = (source.scale.astype(np.float64)[:1] * weights.scale.astype(np.float64)).astype(np.float32)
    own = QdqParameters("int32", scale, np.zeros(scale.size, np.int64), 0 if scale.size > 1 else None)
    return walker.dequantized(node, node.input[position], own)


def _give(walker: Walker, node: onnx.NodeProto, raw: str, scale: int, zero: int) -> None:
    """Rounds the result; without a scale it stays real (QGemm)."""
    if scale >= len(node.input) or not node.input[scale]:
        walker.alias[node.output[0]] = raw
        return
    point = node.input[zero] if zero < len(node.input) else ""
    walker.round(node, raw, node.output[0], walker.parameters(node, node.input[scale], point, "uint8", None))


def _concat(walker: Walker, node: onnx.NodeProto) -> None:
    """QLinearConcat: the result's scale and zero point, then value, scale and zero point of each operand."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    read = [_operand(walker, node, i, i + 1, i + 2, 1)[0] for i in range(2, len(node.input), 3)]
    raw = walker.fresh(node.output[0])
    walker.emit("Concat", read, raw, node, **attributes)
    _give(walker, node, raw, 0, 1)


_UNARY: Final = (((0, 1, 2),), (3, 4))
_BINARY: Final = (((0, 1, 2), (3, 4, 5)), (6, 7))

FORMS: Final[dict[tuple[str, str], Form]] = {
    ("", "QLinearConv"): LinearOp("Conv", *_BINARY, bias=8),
    ("", "QLinearMatMul"): LinearOp("MatMul", *_BINARY, axes=(0, -1)),
    (MICROSOFT, "QGemm"): LinearOp("Gemm", _BINARY[0], (7, 8), bias=6),
    (MICROSOFT, "QLinearAdd"): LinearOp("Add", *_BINARY),
    (MICROSOFT, "QLinearMul"): LinearOp("Mul", *_BINARY),
    (MICROSOFT, "QLinearConcat"): _concat,
    (MICROSOFT, "QLinearSigmoid"): LinearOp("Sigmoid", *_UNARY),
    (MICROSOFT, "QLinearLeakyRelu"): LinearOp("LeakyRelu", *_UNARY),
    (MICROSOFT, "QLinearSoftmax"): LinearOp("Softmax", *_UNARY),
    (MICROSOFT, "QLinearAveragePool"): LinearOp("AveragePool", *_UNARY),
    (MICROSOFT, "QLinearGlobalAveragePool"): LinearOp("GlobalAveragePool", *_UNARY),
    (MICROSOFT, "QLinearReduceMean"): LinearOp("ReduceMean", *_UNARY),
}

"""What follows a layer with weights goes into it: an added bias, a scale per channel, an activation.

Converters do this themselves unless a RESHAPE stood between, as it does in networks over one dimension.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.edits import each_op, only_reader
from tightfit.types import Array

_LAYERS: Final[dict[str, tuple[int, int, int]]] = {
    "CONV_2D": (1, 2, 0), "CONV_3D": (1, 2, 4), "DEPTHWISE_CONV_2D": (1, 2, 3), "FULLY_CONNECTED": (1, 2, 0),
    "TRANSPOSE_CONV": (1, 3, 0),
}  # fmt: skip
"""Kind → positions of weights and bias, axis of the weights' output channels."""
_ACTIVATIONS: Final = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}


def fuse_epilogues(model: Model) -> list[str]:
    """Let a layer add the bias, apply the scale and the activation that follow it.

    Condition: the layer is float32 with constant weights that no other op reads and has no activation yet,
    nothing else reads what it gives, and the operand is one number or one a channel.
    """
    return each_op(model, _fuse_all, "Let {} do what followed: a bias, a scale or an activation.")


def _fuse_all(graph: Graph, layer: Op, kept: set[Tensor]) -> bool:
    count = 0
    while _fuse(graph, layer, kept):
        count += 1
    return count > 0


def _fuse(graph: Graph, layer: Op, kept: set[Tensor]) -> bool:
    if layer.kind not in _LAYERS or layer.options.get("fusedActivationFunction", 0):
        return False
    last = _cropped(layer, kept)
    result = last.outputs[0]
    reader = only_reader(result, kept)
    if reader is None or result.dtype != "float32" or reader.outputs[0].shape != result.shape:
        return False
    if reader.kind in _ACTIVATIONS:
        layer.options["fusedActivationFunction"] = _ACTIVATIONS[reader.kind]
    elif not _take_in(graph, layer, reader):
        return False
    else:
        layer.options["fusedActivationFunction"] = reader.options.get("fusedActivationFunction", 0)
    name, result = result.name, reader.outputs[0]
    graph.remove(reader)
    graph.set_output(last, 0, result)
    if result not in kept:
        result.name = name
    return True


def _cropped(layer: Op, kept: set[Tensor]) -> Op:
    """The SLICE that only crops what a layer gives, else the layer: what follows may as well come before."""
    reader = only_reader(layer.outputs[0], kept)
    cuts = reader is not None and reader.kind == "SLICE" and layer.kind == "TRANSPOSE_CONV"
    if reader is None or not cuts or reader.outputs[0].shape[-1] != layer.outputs[0].shape[-1]:
        return layer
    return reader


def _take_in(graph: Graph, layer: Op, reader: Op) -> bool:
    """Change weights and bias so that the reader's work is done; False, and nothing changed, where not."""
    operand = _channel_operand(reader, layer.outputs[0].shape[-1])
    weight_at, bias_at, axis = _LAYERS[layer.kind]
    weight, bias = layer.input(weight_at), layer.input(bias_at)
    if operand is None or weight is None or weight.data is None or weight.dtype != "float32":
        return False
    if weight.sparsity is not None or (bias is not None and (bias.data is None or bias.dtype != "float32")):
        return False
    old = (
        np.zeros(operand.shape, np.float64) if bias is None or bias.data is None else bias.data.astype(float)
    )
    if reader.kind in ("ADD", "SUB"):
        sign = -1 if reader.kind == "SUB" else 1
        _set(graph, layer, bias_at, old + sign * operand, bias, f"{layer.name}/bias")
        return True
    if len(weight.consumers) > 1:
        return False
    factor = 1 / operand if reader.kind == "DIV" else operand
    if not np.isfinite(factor).all():
        return False
    along = [-1 if i == axis else 1 for i in range(weight.data.ndim)]
    _set(graph, layer, weight_at, weight.data * factor.reshape(along), weight, weight.name)
    if bias is not None:
        _set(graph, layer, bias_at, old * factor, bias, bias.name)
    return True


def _channel_operand(reader: Op, channels: int) -> Array | None:
    """The constant of an ADD, SUB, MUL or DIV behind a layer, shape (channels,)."""
    if reader.kind not in ("ADD", "SUB", "MUL", "DIV"):
        return None
    place = 0 if reader.inputs[0] is not None and reader.inputs[0].is_constant else 1
    other = reader.inputs[place]
    if other is None or other.data is None or other.dtype != "float32" or other.is_variable:
        return None
    if reader.kind in ("SUB", "DIV") and place == 0:
        return None
    if other.size not in (1, channels) or (other.size > 1 and other.shape[-1] != channels):
        return None
    return np.broadcast_to(other.data.astype(np.float64).reshape(-1), (channels,))


def _set(graph: Graph, op: Op, position: int, values: Array, old: Tensor | None, name: str) -> None:
    data = np.asarray(values, np.float32)
    tensor = Tensor(name if old is None else old.name, data.shape, "float32", data)
    graph.set_input(op, position, tensor)

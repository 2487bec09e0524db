"""Walks an ONNX graph and computes it in JAX: what depends on no input stays NumPy and is never traced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import numpy_helper

from tightfit.conversion.onnx.constant_nodes import evaluate
from tightfit.conversion.onnx.control_flow import CONTROL, LISTS, control, of_lists
from tightfit.conversion.onnx.onnx_ops import ONNX_OPS
from tightfit.conversion.onnx.onnx_values import ChannelLast, Layout, OnnxNode, OnnxOp, channel_last, logical
from tightfit.errors import ModelError, first_line

Values = dict[str, Any]


class OnnxProgram:
    """An ONNX graph as a function of its inputs.

    Args:
        graph: the graph.
        opset: of the default domain.
        constants: initializers by name.
        fuses: whether an LSTM becomes one op where the op computes the same.
        loops: whether a long GRU or RNN becomes loops where they compute the same.
    """

    def __init__(
        self, graph: onnx.GraphProto, opset: int, *, fuses: bool = False, loops: bool = False
    ) -> None:
        self.graph = graph
        self.opset = opset
        self.fuses, self.loops = fuses, loops
        self.read = _names_read(graph)
        self.constants: Values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}

    def __call__(self, inputs: Mapping[str, Any], outer: Mapping[str, Any] | None = None) -> list[Any]:
        """Return the outputs in ONNX's order of dimensions.

        Args:
            inputs: arrays or ``ChannelLast`` by name.
            outer: values of the graph around this one, by name.
        """
        values: Values = {"": None, **(outer or {}), **self.constants, **inputs}
        for proto in self.graph.node:
            for name, value in zip(proto.output, self._node(proto, values), strict=False):
                values[name] = value
        return [values[o.name] for o in self.graph.output]

    def _node(self, proto: onnx.NodeProto, values: Values) -> Sequence[Any]:
        inputs = [values[name] for name in proto.input]
        attributes = {a.name: _plain(a) for a in proto.attribute}
        name = proto.name or (proto.output[0] if proto.output else proto.op_type)
        wanted = sum(bool(o) for o in proto.output)
        node = OnnxNode(proto.op_type, name, self.opset, attributes, wanted)
        node.read = tuple(o in self.read for o in proto.output)
        node.fuses, node.loops = self.fuses, self.loops
        try:
            if proto.op_type in CONTROL:
                graphs = {a.name: a.g for a in proto.attribute if a.type == onnx.AttributeProto.GRAPH}
                return control(
                    node, graphs, inputs, lambda g, given: OnnxProgram(g, self.opset)(given, values)
                )
            if proto.op_type in LISTS:
                return of_lists(node, inputs)
            if proto.op_type not in ONNX_OPS:
                return evaluate(proto, self.opset, inputs)
            return _apply(ONNX_OPS[proto.op_type], node, inputs)
        except ModelError:
            raise
        except Exception as error:
            raise node.refuse(
                f"cannot be translated ({type(error).__name__}: {first_line(error)})"
            ) from error


def _names_read(graph: onnx.GraphProto) -> set[str]:
    """The values that a node, a graph inside of one or a caller reads."""
    found = {o.name for o in graph.output}
    for node in graph.node:
        found.update(node.input)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                found |= _names_read(attribute.g)
    return found - {""}


def _apply(row: OnnxOp, node: OnnxNode, inputs: list[Any]) -> Sequence[Any]:
    """Calls a row's function on values in the order of dimensions that it takes."""
    known = all(i is None or isinstance(i, np.ndarray | np.generic) for i in inputs)
    node.xp = np if known else jnp
    if known:
        with jax.ensure_compile_time_eval():
            result = _in_order(row, node, [None if i is None else np.asarray(i) for i in inputs])
            return [_as_known(r) for r in result]
    with jax.named_scope(_scope(node.name)):
        return _in_order(row, node, inputs)


def _as_known(value: Any) -> Any:
    return np.asarray(logical(value))


def _in_order(row: OnnxOp, node: OnnxNode, inputs: list[Any]) -> Sequence[Any]:
    image = next((i for i in inputs if isinstance(i, ChannelLast)), None)
    if row.layout is Layout.STORED:
        result = row.function(node, channel_last(inputs[0]), *map(logical, inputs[1:]))
        return [ChannelLast(r) for r in _listed(result)]
    if row.layout is Layout.ELEMENTWISE and image is not None:
        rank = max(i.ndim for i in inputs if i is not None)
        if rank == image.ndim:
            moved = [None if i is None else channel_last(i, rank) for i in inputs]
            return [ChannelLast(r) for r in _listed(row.function(node, *moved))]
    if row.layout is Layout.AXES:
        return _along_axes(row, node, inputs, image)
    return _listed(row.function(node, *map(logical, inputs)))


def _along_axes(row: OnnxOp, node: OnnxNode, inputs: list[Any], image: ChannelLast | None) -> Sequence[Any]:
    reduces = node.kind.startswith(("Reduce", "Arg"))
    if image is not None and (reduces or isinstance(inputs[0], ChannelLast) or node.kind == "Concat"):
        node.image = image
        rank = image.ndim
        moved = [channel_last(i) if i is not None and i.ndim == rank else i for i in inputs]
        results: list[Any] = [ChannelLast(r) for r in _listed(row.function(node, *moved))]
    else:
        results = _listed(row.function(node, *map(logical, inputs)))
    if reduces and not node.get("keepdims", 1):
        return [_dropped(node, r, inputs) for r in results]
    return results


def _dropped(node: OnnxNode, value: Any, inputs: list[Any]) -> Any:
    """The kept axes of a reduction go in ONNX's order."""
    rank = inputs[0].ndim
    if node.kind.startswith("Arg"):
        axes = [node.get("axis", 0)]
    else:
        axes = node.numbers("axes", inputs[1] if len(inputs) > 1 else None) or list(range(rank))
    gone = {a % rank for a in axes}
    kept = tuple(i for i in range(rank) if i not in gone)
    if isinstance(value, ChannelLast) and _same_order(value, kept):
        return value.array.reshape(tuple(value.shape[i] for i in kept))
    whole = logical(value)
    return whole.reshape(tuple(whole.shape[i] for i in kept))


def _same_order(value: ChannelLast, kept: tuple[int, ...]) -> bool:
    """True when the kept dimensions stand in one order in both layouts."""
    places = [value.stored_axis(i) for i in kept]
    return places == sorted(places)


def _listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def _plain(attribute: onnx.AttributeProto) -> Any:
    """An attribute as a plain value: text, numbers, lists, arrays; ``to`` as a NumPy type."""
    if attribute.name == "to" and attribute.type == onnx.AttributeProto.INT:
        return onnx.helper.tensor_dtype_to_np_dtype(attribute.i)
    if attribute.type == onnx.AttributeProto.STRING:
        return attribute.s.decode("utf-8", "replace")
    if attribute.type == onnx.AttributeProto.TENSOR:
        return numpy_helper.to_array(attribute.t)
    if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
        return None
    return onnx.helper.get_attribute_value(attribute)


def _scope(name: str) -> str:
    """A name that the tracer keeps: its own separators would cut it."""
    return "".join(c if c.isalnum() or c in "._-/" else "_" for c in name).strip("/") or "op"

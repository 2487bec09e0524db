"""Nodes of an ONNX graph: their domains, their order, their names, arrays as NumPy computes with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import onnx

from tightfit.conversion.qdq.qdq_parameters import LIMITS, QdqParameters
from tightfit.types import Array

STANDARD: Final = ("", "ai.onnx")


MICROSOFT: Final = "com.microsoft"


TYPES: Final = {
    int(getattr(onnx.TensorProto, name.upper())): name
    for name in LIMITS
    if hasattr(onnx.TensorProto, name.upper())
}
"""ONNX's number of an integer type → its name."""


def domain_of(node: onnx.NodeProto) -> str:
    """Return a node's domain, "" for ONNX's own."""
    return "" if node.domain in STANDARD else node.domain


def in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes such that each stands behind those it reads; some producers append theirs at the end.

    Args:
        graph: whose nodes may stand in any order.
    """
    makers = {name: node for node in graph.node for name in node.output}
    done: dict[int, onnx.NodeProto] = {}
    for start in graph.node:
        todo = [start]
        while todo:
            node = todo[-1]
            read = {id(makers[n]): makers[n] for n in node.input if n in makers}
            waiting = [m for key, m in read.items() if key not in done and m not in todo]
            if waiting:
                todo.append(waiting[0])
            else:
                done.setdefault(id(node), todo.pop())
    return list(done.values())


def plain_array(values: Array) -> Array:
    """The array in a type that NumPy computes with."""
    if values.dtype.kind in "fiub":
        return values
    return values.astype(np.int64 if "int" in values.dtype.name else np.float32)


def typed_array(parameters: QdqParameters) -> Array:
    """Return the zero point in the type of its integers."""
    return parameters.zero_point.astype(parameters.dtype)


def inner_names(attribute: onnx.AttributeProto) -> Iterable[str]:
    """Yield the names that the graphs of an attribute read, at any depth."""
    for graph in (attribute.g, *attribute.graphs):
        for node in graph.node:
            yield from node.input
            for inner in node.attribute:
                yield from inner_names(inner)

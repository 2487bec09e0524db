"""Constants of an ONNX graph: nodes whose inputs are all constants, and inputs with a default value."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any, Final

import numpy as np
import onnx

from tightfit.conversion.onnx.control_flow import CONTROL, LISTS
from tightfit.conversion.onnx.onnx_ops import ONNX_OPS
from tightfit.errors import ModelError

_RANDOM: Final = frozenset({"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
                            "RandomUniformLike"})  # fmt: skip
_DOMAINS: Final = ("", "ai.onnx")
_SEPARATE_SINCE: Final = 4
"""The version of the IR from which weights need not be inputs."""


def untranslated(graph: onnx.GraphProto, known: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the kinds of the nodes that neither a row nor ONNX's reference on constants computes.

    Args:
        graph: the graph; those in its nodes are walked too.
        known: names of constants of the graph around it.
    """
    names = {*known, *(t.name for t in graph.initializer)}
    for node in graph.node:
        constant = all(not name or name in names for name in node.input)
        if constant and not node.attribute and not node.input:
            constant = node.op_type not in _RANDOM
        if constant and node.op_type not in _RANDOM and node.op_type not in CONTROL:
            names.update(node.output)
        plain = node.domain in _DOMAINS
        has_row = plain and (node.op_type in ONNX_OPS or node.op_type in CONTROL or node.op_type in LISTS)
        if not has_row and not (plain and constant and node.op_type not in _RANDOM):
            yield node.op_type if plain else f"{node.domain}.{node.op_type}"
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from untranslated(inner, frozenset(names))


def evaluate(node: onnx.NodeProto, opset: int, inputs: Sequence[Any]) -> list[Any]:
    """Return what ONNX's reference computes of constants.

    Raises:
        ModelError: an input is computed at run time.
    """
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - few models need it

    if not all(i is None or isinstance(i, np.ndarray | np.generic) for i in inputs):
        raise ModelError(
            f"The ONNX op {node.op_type} '{node.name or node.output[0]}' is translated on constants alone; "
            "replace it, or end the model before."
        )
    given = {n: np.asarray(v) for n, v in zip(node.input, inputs, strict=True) if n and v is not None}
    graph = onnx.helper.make_graph(
        [node],
        "constants",
        [
            onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for n, v in given.items()
        ],
        [onnx.helper.make_empty_tensor_value_info(o) for o in node.output if o],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    return [np.asarray(v) for v in ReferenceEvaluator(model).run(None, given)]


def fix_default_inputs(model: onnx.ModelProto, held: Container[str] = ()) -> onnx.ModelProto:
    """Return the model without the inputs that have a default value: weights that a caller may replace.

    Source: ONNX IR specification, "Graph": an initializer of an input's name is its default value.

    Args:
        model: is not changed.
        held: inputs that stay, because the user gives their value.
    """
    stored = {t.name for t in model.graph.initializer} | {
        t.values.name for t in model.graph.sparse_initializer
    }
    kept = [value for value in model.graph.input if value.name in held or value.name not in stored]
    if len(kept) == len(model.graph.input):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = max(model.ir_version, _SEPARATE_SINCE)
    del copy.graph.input[:]
    copy.graph.input.extend(kept)
    return copy

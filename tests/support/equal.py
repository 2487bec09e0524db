"""Whether two models are the same file in other words: every table, link, option and byte of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - the options' defaults

from tightfit.graph.format.table_fields import to_fields
from tightfit.graph.ir import Graph, Model, Op, Quantization, Signature, Sparsity, Tensor
from tightfit.graph.versions.op_version import op_version

Index = Mapping[Tensor, int]


def assert_equal(a: Model, b: Model) -> None:
    """Fails with the path to the first difference."""
    assert (a.description, a.version) == (b.description, b.version)
    assert list(a.metadata.items()) == list(b.metadata.items())
    assert len(a.graphs) == len(b.graphs)
    for left, right in zip(a.graphs, b.graphs, strict=True):
        _graphs(left, right)
    assert [_signature(a, s) for s in a.signatures] == [_signature(b, s) for s in b.signatures]
    assert sharing(a) == sharing(b), "constants share memory differently"


def sharing(model: Model) -> list[int]:
    """For each constant of the model the number of the first one with the same memory."""
    first: dict[tuple[int, int], int] = {}
    constants = [t.data for g in model.graphs for t in g.tensors() if t.data is not None and t.data.size]
    return [
        first.setdefault((d.__array_interface__["data"][0], d.nbytes), i) for i, d in enumerate(constants)
    ]


def _index(graph: Graph) -> dict[Tensor, int]:
    return {t: i for i, t in enumerate(graph.tensors())}


def _graphs(a: Graph, b: Graph) -> None:
    left, right = _index(a), _index(b)
    assert (a.name, a.extra) == (b.name, b.extra)
    for tensors in ("inputs", "outputs", "loose"):
        assert [left[t] for t in getattr(a, tensors)] == [right[t] for t in getattr(b, tensors)], tensors
    for s, t in zip(left, right, strict=True):
        assert _tensor(s, left) == _tensor(t, right), s.name
        assert (s.data is None) == (t.data is None), s.name
        if s.data is not None and t.data is not None:
            assert s.data.dtype == t.data.dtype, s.name
            assert s.data.shape == t.data.shape, s.name
            assert s.data.tobytes() == t.data.tobytes(), s.name
    for p, q in zip(a.ops, b.ops, strict=True):
        assert _op(p, left) == _op(q, right), p


def _tensor(tensor: Tensor, index: Index) -> list[Any]:
    return [
        tensor.name, tensor.shape, tensor.dtype, tensor.shape_signature, tensor.is_variable, tensor.has_rank,
        _quantization(tensor.quantization, index), _sparsity(tensor.sparsity), _plain(tensor.extra),
    ]  # fmt: skip


def _op(op: Op, index: Index) -> list[Any]:
    defaults: dict[str, Any] = {}
    if op.options_type is not None:
        defaults = to_fields(getattr(schema, op.options_type + "T")())
    return [
        op.kind, op.version or op_version(op), op.custom_code, op.custom_options, op.options_type,
        _plain({**defaults, **op.options}), [None if t is None else index[t] for t in op.inputs],
        [index[t] for t in op.outputs], [index[t] for t in op.intermediates], _plain(op.extra),
    ]  # fmt: skip


def _signature(model: Model, signature: Signature) -> list[Any]:
    index = _index(model.graphs[signature.graph_index])
    inputs = [(name, index[t]) for name, t in signature.inputs.items()]
    outputs = [(name, index[t]) for name, t in signature.outputs.items()]
    return [signature.key, signature.graph_index, inputs, outputs]


def _quantization(quantization: Quantization | None, index: Index) -> list[Any] | None:
    if quantization is None:
        return None
    q = quantization
    arrays = [_plain(v) for v in (q.scale, q.zero_point, q.range_min, q.range_max)]
    details = None
    if q.details is not None:
        defaults = to_fields(getattr(schema, q.details[0] + "T")())
        fields = {**defaults, **q.details[1]}
        links = {k: index[v] if isinstance(v, Tensor) else v for k, v in fields.items()}
        details = q.details[0], _plain(links)
    return [*arrays, q.axis, details]


def _sparsity(sparsity: Sparsity | None) -> list[Any] | None:
    if sparsity is None:
        return None
    dimensions = [[_plain(v) for v in d] for d in sparsity.dimensions]
    return [sparsity.traversal_order, sparsity.block_map, dimensions]


def _plain(value: Any) -> Any:
    """Arrays and lists alike as lists, tables as dictionaries: how a field was given does not matter."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value

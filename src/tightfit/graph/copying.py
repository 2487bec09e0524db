"""Copies of models and graphs that share the memory of constants."""

from __future__ import annotations

from collections.abc import Sequence

from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor


def copy_model(model: Model) -> Model:
    """Return an independent copy of a model; constants are views of the same memory.

    Example:
        >>> from tightfit.graph.ir import Graph, Model
        >>> copy_model(Model([Graph("g")])).main.name
        'g'
    """
    maps: list[dict[Tensor, Tensor]] = []
    graphs = []
    for graph in model.graphs:
        own, mapping = copy_graph(graph)
        graphs.append(own)
        maps.append(mapping)
    signatures = [
        Signature(
            s.key,
            {n: maps[s.graph_index][t] for n, t in s.inputs.items()},
            {n: maps[s.graph_index][t] for n, t in s.outputs.items()},
            s.graph_index,
        )
        for s in model.signatures
    ]
    extra = dict(model.extra)
    twin = Model(graphs, signatures, dict(model.metadata), model.description, model.version, extra)
    twin.attached = dict(model.attached)
    return twin


def copy_graph(graph: Graph) -> tuple[Graph, dict[Tensor, Tensor]]:
    """Return a copy of a graph, and the map from its tensors to those of the copy."""
    mapping = {t: copy_tensor(t) for t in graph.tensors()}
    twin = Graph(graph.name)
    twin.extra = dict(graph.extra)
    twin.inputs = [mapping[t] for t in graph.inputs]
    twin.outputs = [mapping[t] for t in graph.outputs]
    twin.loose = [mapping[t] for t in graph.loose]
    for op in graph.ops:
        twin.append(copy_op(op, mapping))
    for tensor in mapping.values():
        _relink_parts(tensor, mapping)
    return twin, mapping


def copy_part(
    ops: Sequence[Op], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[Graph, dict[Tensor, Tensor]]:
    """Return a new graph with copies of some ops, and the map from tensors to those of the copy.

    Args:
        ops: the ops in execution order; each reads constants, ``inputs``, or outputs of ops before it.
        inputs: tensors that become inputs of the new graph.
        outputs: tensors that become its outputs.
    """
    read = [t for op in ops for t in (*op.inputs, *op.outputs, *op.intermediates) if t is not None]
    mapping = {t: copy_tensor(t) for t in dict.fromkeys([*inputs, *read, *outputs])}
    twin = Graph("part")
    twin.inputs, twin.outputs = [mapping[t] for t in inputs], [mapping[t] for t in outputs]
    for op in ops:
        twin.append(copy_op(op, mapping))
    return twin, mapping


def copy_op(op: Op, mapping: dict[Tensor, Tensor]) -> Op:
    """Return a copy of an op that reads and writes the mapped tensors; it belongs to no graph yet."""
    inputs = [None if t is None else mapping[t] for t in op.inputs]
    twin = Op(
        op.kind, inputs, [mapping[t] for t in op.outputs], dict(op.options), op.options_type, op.version
    )
    twin.custom_code = op.custom_code
    twin.custom_options = op.custom_options
    twin.intermediates = [mapping[t] for t in op.intermediates]
    twin.extra = dict(op.extra)
    return twin


def copy_tensor(tensor: Tensor) -> Tensor:
    """Return a copy that no op writes or reads yet; the data are shared."""
    twin = Tensor(
        tensor.name,
        tensor.shape,
        tensor.dtype,
        tensor.data,
        tensor.quantization,
        sparsity=tensor.sparsity,
        shape_signature=tensor.shape_signature,
        is_variable=tensor.is_variable,
        has_rank=tensor.has_rank,
    )
    twin.extra = dict(tensor.extra)
    return twin


def _relink_parts(tensor: Tensor, mapping: dict[Tensor, Tensor]) -> None:
    if tensor.parts() and tensor.quantization is not None and tensor.quantization.details is not None:
        kind, fields = tensor.quantization.details
        linked = {k: mapping[v] if isinstance(v, Tensor) else v for k, v in fields.items()}
        old = tensor.quantization
        tensor.quantization = type(old)(
            old.scale, old.zero_point, old.axis, old.range_min, old.range_max, (kind, linked)
        )

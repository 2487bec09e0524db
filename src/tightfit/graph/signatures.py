"""Signatures: the names by which a graph is called, whether it keeps state, and copies with other outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tightfit.graph.ir import Model, Signature, Tensor
from tightfit.graph.names import unique_names


def main_signature(model: Model) -> Signature | None:
    """Return the signature that calls the main graph: ``serving_default``, else the first, else None."""
    callers = [s for s in model.signatures if s.graph_index == 0]
    named = [s for s in callers if s.key == "serving_default"]
    return next(iter([*named, *callers]), None)


def input_names(model: Model) -> dict[str, Tensor]:
    """Return the names by which the main graph's inputs are called: the signature's, else the tensors'."""
    signature = main_signature(model)
    if signature is not None and signature.inputs:
        return dict(signature.inputs)
    return _by_name(model.main.inputs)


def output_names(model: Model) -> dict[str, Tensor]:
    """Return the names by which the main graph's outputs are called: the signature's, else the tensors'."""
    signature = main_signature(model)
    if signature is not None and signature.outputs:
        return dict(signature.outputs)
    return _by_name(model.main.outputs)


def tap(model: Model, tensors: Mapping[str, Tensor], inputs: Mapping[str, Tensor] | None = None) -> None:
    """Make inner tensors of the main graph its outputs, in place; one signature names them.

    The same kernels compute an inner tensor that is an output, so the speed does not change. Without any
    tensor the outputs are not changed, so that the model still runs.

    Args:
        model: a copy (``copying.copy_model``), as the original outputs and signatures are lost.
        tensors: output name → tensor; one tensor may have several names.
        inputs: input name → tensor; those of ``input_names`` by default.
    """
    graph, fed = model.main, input_names(model) if inputs is None else dict(inputs)
    keys = graph.keys()
    graph.outputs = list(dict.fromkeys(tensors.values())) or list(graph.outputs)
    named = dict(tensors) or {keys[t]: t for t in graph.outputs}
    model.signatures = [Signature("taps", fed, named)]


def _by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """The names of a session's inputs or outputs without a signature."""
    return dict(zip(unique_names([t.name for t in tensors]), tensors, strict=True))


def keeps_state(model: Model) -> bool:
    """Return whether a model keeps state between calls, so that the order of samples matters.

    A variable that an op writes at every call, before it is read, keeps nothing.
    """
    tensors = any(t.is_variable and t.producer is None for graph in model.graphs for t in graph.tensors())
    return tensors or any(op.kind == "READ_VARIABLE" for graph in model.graphs for op in graph.ops)


def before_softmax(end: Tensor) -> Tensor:
    """Return the input of the SOFTMAX that computes an output; any other output unchanged."""
    producer = end.producer
    source = None if producer is None or producer.kind != "SOFTMAX" else producer.inputs[0]
    return end if source is None or source.is_constant else source

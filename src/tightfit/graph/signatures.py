"""Signatures: the names by which a graph is called, whether it keeps state, and copies with other outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tightfit.graph.ir import Model, Signature, Tensor


def main_signature(model: Model) -> Signature | None:
    """Gives the signature that calls the main graph: ``serving_default``, else the first, else None."""
    callers = [s for s in model.signatures if s.graph_index == 0]
    named = [s for s in callers if s.key == "serving_default"]
    return next(iter([*named, *callers]), None)


def input_names(model: Model) -> dict[str, Tensor]:
    """Gives the names by which the main graph's inputs are called: the signature's, else the tensors'."""
    signature = main_signature(model)
    if signature is not None and signature.inputs:
        return dict(signature.inputs)
    return _by_name(model.main.inputs)


def output_names(model: Model) -> dict[str, Tensor]:
    """Gives the names by which the main graph's outputs are called: the signature's, else the tensors'."""
    signature = main_signature(model)
    if signature is not None and signature.outputs:
        return dict(signature.outputs)
    return _by_name(model.main.outputs)


def tap(model: Model, tensors: Mapping[str, Tensor], inputs: Mapping[str, Tensor] | None = None) -> None:
    """Make inner tensors of the main graph its outputs, in place; one signature names them.

    An inner tensor that is an output is computed by the same kernels as before, so a runtime keeps its speed.
    Without any tensor the outputs stay as they are: a model always runs.

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
    """The names that a session gives to ends without a signature."""
    return dict(zip(unique_names([t.name for t in tensors]), tensors, strict=True))


def keeps_state(model: Model) -> bool:
    """Tells whether a call sees what earlier calls left behind, so that the order of samples counts."""
    tensors = any(t.is_variable for graph in model.graphs for t in graph.tensors())
    return tensors or any(op.kind == "READ_VARIABLE" for graph in model.graphs for op in graph.ops)


def unique_names(names: list[str]) -> list[str]:
    """Names made unique: the second ``x`` becomes ``x#2``."""
    counts: dict[str, int] = {}
    unique = []
    for name in names:
        n = counts[name] = counts.get(name, 0) + 1
        unique.append(name if n == 1 else f"{name}#{n}")
    return unique


def before_softmax(end: Tensor) -> Tensor:
    """Gives what a closing softmax is taken of; any other output as it is."""
    producer = end.producer
    source = None if producer is None or producer.kind != "SOFTMAX" else producer.inputs[0]
    return end if source is None or source.is_constant else source

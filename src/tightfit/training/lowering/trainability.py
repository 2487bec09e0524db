"""Check whether a graph can be trained, with the reason where not."""

from __future__ import annotations

from typing import Final

from tightfit.errors import ModelError
from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.training.lowering.op_lowerings import OP_LOWERINGS

_RUNTIME_WEIGHTS: Final = frozenset({"FULLY_CONNECTED"})
"""Ops whose weights may be computed from the input, sample by sample."""


def missing_lowerings(graph: Graph) -> list[Op]:
    """Return the ops without a lowering, in the graph's order."""
    return [op for op in graph.ops if op.kind not in OP_LOWERINGS]


def check_lowerings(graph: Graph) -> None:
    """Check that every op can be trained.

    Raises:
        ModelError: an op has no lowering, or weights are computed at run time; the message names them.
    """
    missing = missing_lowerings(graph)
    if missing:
        named = ", ".join(f"{op.kind} '{op.name}'" for op in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ModelError(
            f"Cannot train through {named}{more}: there is no lowering for it in Keras. Train the part of "
            "the model behind it, or quantize without training."
        )
    varying = varying_tensors(graph)
    for op in graph.ops:
        for position in OP_LOWERINGS[op.kind].weights if op.kind not in _RUNTIME_WEIGHTS else ():
            tensor = op.input(position)
            if tensor is not None and tensor in varying:
                raise ModelError(
                    f"Cannot train {op.kind} '{op.name}': its weights '{tensor.name}' are computed from the "
                    "input."
                )


def varying_tensors(graph: Graph) -> set[Tensor]:
    """Return the tensors whose values depend on the inputs; SHAPE does not, as all samples have one shape."""
    found = set(graph.inputs)
    for op in graph.ops:
        if op.kind not in ("SHAPE", "RANK") and any(t in found for t in op.inputs if t is not None):
            found.update(op.outputs)
    return found

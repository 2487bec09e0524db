"""Networks over one dimension stay in four dimensions from one convolution to the next.

Converters write a 1-D convolution as RESHAPE, CONV_2D, RESHAPE. Here each RESHAPE that only drops dimensions
of size 1 moves behind the op that reads it, until it meets the RESHAPE that puts them back; the pair goes.
"""

from __future__ import annotations

from typing import Final

from tightfit.conversion.fusions.epilogues import fuse_epilogues
from tightfit.conversion.fusions.lifting import ACTIVATIONS, LIFTS, Alignment, Inputs, alignments, spread
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.clean import remove_dead_ops, remove_identities
from tightfit.graph.passes.constant_folding import kept_tensors
from tightfit.graph.passes.edits import each_op, freed, is_free_inside, reshape_op
from tightfit.units import format_count

_RESHAPING: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
_REDUCTIONS: Final = frozenset({"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"})


def keep_four_dimensions(model: Model) -> list[str]:
    """Move RESHAPEs that drop dimensions of size 1 behind their readers, where pairs of them then cancel.

    Condition: the model has fewer ops afterwards, with what layers then fuse; otherwise it stays as it was.
    Only the first dimension is free, if any.
    """
    if not any(op.kind in _RESHAPING for graph in model.graphs for op in graph.ops):
        return []
    trial = copy_model(model)
    for graph in trial.graphs:
        kept = kept_tensors(trial, graph)
        for op in list(graph.ops):
            _as_reshape(graph, op)
            _sink(graph, op, kept)
    merge_reshapes(trial)
    remove_identities(trial)
    remove_dead_ops(trial)
    fused = fuse_epilogues(trial)
    gone = _count(model) - _count(trial)
    if gone <= 0:
        return []
    model.graphs, model.signatures = trial.graphs, trial.signatures
    return [f"Removed {format_count(gone, 'op')} around layers over one dimension.", *fused]


def merge_reshapes(model: Model) -> list[str]:
    """Make one RESHAPE of two in a row; one that gives back the first shape is then an identity.

    Condition: only the first dimension is free, if any.
    """
    return each_op(model, _merge, "Merged {} with the reshape before.")


def _count(model: Model) -> int:
    return sum(len(graph.ops) for graph in model.graphs)


def _as_reshape(graph: Graph, op: Op) -> None:
    """SQUEEZE and EXPAND_DIMS are RESHAPEs too."""
    if op.kind in ("SQUEEZE", "EXPAND_DIMS") and op.inputs[0] is not None:
        source, result = op.inputs[0], op.outputs[0]
        free = (source.shape_signature or ())[:1] == (result.shape_signature or ())[:1]
        if not is_free_inside(source) and not is_free_inside(result) and free and result.shape:
            place = graph.ops.index(op)
            graph.remove(op)
            graph.insert(place, reshape_op(source, result))


def _merge(graph: Graph, op: Op, kept: set[Tensor]) -> bool:
    del kept
    before = _reshape_of(op.input(0)) if op.kind == "RESHAPE" and not is_free_inside(op.outputs[0]) else None
    if before is None:
        return False
    graph.set_input(op, 0, before.inputs[0])
    return True


def _reshape_of(tensor: Tensor | None) -> Op | None:
    """The RESHAPE that wrote a tensor, with free dimensions in front at most."""
    op = None if tensor is None else tensor.producer
    if op is None or op.kind != "RESHAPE" or op.inputs[0] is None or op.inputs[0].is_constant:
        return None
    return None if is_free_inside(op.inputs[0]) or is_free_inside(op.outputs[0]) else op


# -- one op ----------------------------------------------------------------------------------------


def _sink(graph: Graph, op: Op, kept: set[Tensor]) -> None:
    """Let an op read what the RESHAPEs before it read; its result is reshaped instead."""
    found = _common_alignment(op) if op.kind in LIFTS and len(op.outputs) == 1 else None
    if found is None:
        return
    alignment, rank, sources = found
    lifted = LIFTS[op.kind](op, sources, alignment, rank)
    shape = _shape_of(op, alignment, rank)
    if lifted is None or shape is None:
        return
    for position, tensor in enumerate(lifted[0]):
        if tensor is not op.inputs[position]:
            graph.set_input(op, position, tensor)
    op.options.update(lifted[1])
    op.version = 0
    result = op.outputs[0]
    if tuple(shape) == result.shape:
        return
    long = Tensor(result.name, shape, result.dtype, shape_signature=freed(result, shape))
    if result in kept:
        long.name += "/unsqueezed"
    else:
        result.name += "/squeezed"
    graph.set_output(op, 0, long)
    graph.insert_after(op, reshape_op(long, result))


def _common_alignment(op: Op) -> tuple[Alignment, int, Inputs] | None:
    """One alignment for all inputs, the long rank, and the inputs with the long tensors in place.

    An input that never had more dimensions takes the place of a RESHAPE that gives it them for another op.
    """
    places = ACTIVATIONS.get(op.kind, range(len(op.inputs)))
    read = {i: t for i in places if (t := op.inputs[i]) is not None and not t.is_constant}
    long = {i: source for i, t in read.items() if (source := _before_squeeze(t)) is not None}
    if not long or len({len(t.shape) for t in long.values()}) != 1:
        return None
    common = set.intersection(*(set(alignments(long[i].shape, read[i].shape)) for i in long))
    for alignment in sorted(common):
        rank = len(next(iter(long.values())).shape)
        others = {i: _expanded_elsewhere(op, t, alignment, rank) for i, t in read.items() if i not in long}
        if None not in others.values():
            found = long | others
            return alignment, rank, [found.get(i, t) for i, t in enumerate(op.inputs)]
    return None


def _before_squeeze(tensor: Tensor) -> Tensor | None:
    """What a tensor was before a RESHAPE took dimensions from it."""
    before = _reshape_of(tensor)
    source = None if before is None else before.inputs[0]
    return source if source is not None and len(source.shape) > len(tensor.shape) else None


def _expanded_elsewhere(op: Op, tensor: Tensor, alignment: Alignment, rank: int) -> Tensor | None:
    """The tensor with more dimensions, where an earlier RESHAPE gives it."""
    shape = spread(tensor.shape, alignment, rank, 1) if len(tensor.shape) == len(alignment) else []
    for reader, _ in tensor.consumers:
        if reader.kind == "RESHAPE" and list(reader.outputs[0].shape) == shape and not is_free_inside(tensor):
            ops = op.owner.ops
            return reader.outputs[0] if ops.index(reader) < ops.index(op) else None
    return None


def _shape_of(op: Op, alignment: Alignment, rank: int) -> list[int] | None:
    """The long shape of the result."""
    shape = op.outputs[0].shape
    if op.kind in _REDUCTIONS and not op.options.get("keepDims", False):
        return list(shape)
    return spread(shape, alignment, rank, 1) if len(shape) == len(alignment) else None

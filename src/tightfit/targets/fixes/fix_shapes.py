"""Free sizes made those of the file, so that what is computed from shapes becomes constants."""

from __future__ import annotations

from typing import Final

from tightfit.graph.ir import Model
from tightfit.graph.passes.clean import remove_dead_ops
from tightfit.graph.passes.constant_folding import fold_constants

_BY_VALUE: Final = frozenset(
    {"WHERE", "UNIQUE", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "RANGE", "CUSTOM", "CALL_ONCE"}
)
"""Ops whose output may have another size for another value."""


def fixed_shapes(model: Model) -> list[str]:
    """Give a model the sizes of its file, in place, and fold what it computes from shapes.

    A converter writes 1 for a free batch. Sizes that depend on values are left as they are.

    Returns:
        names of the ops that became constants; none where the file has no free sizes.
    """
    free = [t for graph in model.graphs for t in graph.tensors() if -1 in (t.shape_signature or ())]
    if not free or any(op.kind in _BY_VALUE for graph in model.graphs for op in graph.ops):
        return []
    for tensor in free:
        tensor.shape_signature = None
    before = [op.name for graph in model.graphs for op in graph.ops]
    fold_constants(model)
    remove_dead_ops(model)
    left = {op.name for graph in model.graphs for op in graph.ops}
    return [name for name in before if name not in left]

"""Whether a file has a recurrent layer as one op or loops, or written out: by its scheme and its target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from tightfit import targets
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Op
from tightfit.graph.passes.unrolled_loops import countable_loops, unroll_loops
from tightfit.graph.passes.unrolled_lstm import can_unroll, unroll_lstms
from tightfit.pipeline.build_spec import BuildSpec
from tightfit.pipeline.source import Source
from tightfit.quantization.modes import has_kernel

if TYPE_CHECKING:
    from tightfit.targets.profile import Target


def reason_to_unroll(model: Model, spec: BuildSpec) -> str | None:
    """Return why the recurrent layers of a file are written out; None where they stay as they are.

    Args:
        model: a float model.
        spec: of the file.
    """
    layers = [op for graph in model.graphs for op in graph.ops if can_unroll(op)]
    if layers and not has_kernel(layers[0], spec.scheme):
        return f"LiteRT has no {spec.scheme.name} kernel of a whole layer"
    if spec.target is None:
        return None
    if not _takes_all(layers, spec.target):
        return f"'{spec.target.name}' does not take a whole layer"
    return None if _takes_all(countable_loops(model), spec.target) else f"'{spec.target.name}' takes no loops"


def _takes_all(ops: Iterable[Op], target: Target) -> bool:
    return all(targets.takes(op, target) for op in ops)


def without_loops(source: Source) -> Source:
    """Return a source whose loops are written out where they can be: training has no lowering of them."""
    if not countable_loops(source.model):
        return source
    model = copy_model(source.model)
    notes = [f"{sentence.rstrip('.')}: training takes no loops." for sentence in unroll_loops(model)]
    return replace(source, model=model, notes=[*source.notes, *notes])


def write_out(model: Model) -> list[str]:
    """Write recurrent layers out step by step, in place; return what was done, in sentences."""
    return [*unroll_lstms(model), *unroll_loops(model)]

"""Whether a file has an LSTM as one op or written out: by the kernels of its scheme, and by its target."""

from __future__ import annotations

from tightfit import targets
from tightfit.graph.ir import Model
from tightfit.graph.passes.unrolled_lstm import can_unroll
from tightfit.pipeline.build_spec import BuildSpec
from tightfit.quantization.modes import has_kernel


def reason_to_unroll(model: Model, spec: BuildSpec) -> str | None:
    """Return why the LSTMs of a file are written out; None where they stay one op each.

    Args:
        model: a float model.
        spec: of the file.
    """
    found = [op for graph in model.graphs for op in graph.ops if can_unroll(op)]
    if found and not has_kernel(found[0], spec.scheme):
        return f"LiteRT has no {spec.scheme.name} kernel of a whole layer"
    if found and spec.target is not None and not all(targets.takes(op, spec.target) for op in found):
        return f"'{spec.target.name}' does not take a whole layer"
    return None

"""The computation of a STABLEHLO_SCATTER, named as LiteRT's kernel reads it.

litert-converter writes it as ADD; ``stablehlo_scatter.cc`` takes STABLEHLO_ADD alone and refuses the file.
"""

from __future__ import annotations

from typing import Final

from tightfit.graph.ir import Model
from tightfit.units import format_count

_NAMES: Final = {
    "ADD": "STABLEHLO_ADD", "MUL": "STABLEHLO_MULTIPLY", "MAXIMUM": "STABLEHLO_MAXIMUM",
    "MINIMUM": "STABLEHLO_MINIMUM",
}  # fmt: skip


def name_scatter_regions(model: Model) -> list[str]:
    """Name the one op of each scatter's computation in the way that the kernel takes.

    Condition: the graph is that of a STABLEHLO_SCATTER and has one op of two inputs.
    """
    count = 0
    for op in [op for graph in model.graphs for op in graph.ops if op.kind == "STABLEHLO_SCATTER"]:
        index = int(op.options.get("updateComputationSubgraphIndex", -1))
        inner = model.graphs[index].ops if 0 <= index < len(model.graphs) else []
        if len(inner) == 1 and inner[0].kind in _NAMES:
            inner[0].kind, inner[0].options, inner[0].options_type = _NAMES[inner[0].kind], {}, None
            count += 1
    return (
        [f"Named the computation of {format_count(count, 'scatter')} as its kernel reads it."]
        if count
        else []
    )

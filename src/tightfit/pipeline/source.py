"""The source of a build: a float model, read and cleaned."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tightfit.convert.conversion import open_model
from tightfit.convert.fusions.lookups import look_up_rows
from tightfit.graph.ir import Model
from tightfit.graph.passes.clean import clean
from tightfit.graph.reader import read_model
from tightfit.graph.sparsity import restore_sparse
from tightfit.quantization.planning import refuse_quantized


@dataclass
class Source:
    """A float model ready to be quantized.

    Args:
        path: of the float ``.tflite`` that ``model`` was read from.
        model: the cleaned graph.
        notes: what the clean-up did.
        facts: what a file made of it records about its data, overrides and steps; None leaves provenance out.
    """

    path: Path
    model: Model
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] | None = field(default_factory=dict)


def open_source(model: Any) -> Source:
    """Read and clean a float model; convert it first where needed; sparse constants become dense.

    Args:
        model: anything that ``convert.conversion.open_model`` takes.

    Returns:
        The source with its notes.

    Raises:
        ModelError: it cannot be read, or is already quantized.
    """
    path = open_model(model)
    graph = read_model(path)
    notes = [*restore_sparse(graph), *clean(graph), *look_up_rows(graph)]
    refuse_quantized(graph)
    return Source(path, graph, notes)

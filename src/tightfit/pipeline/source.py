"""The source of a build: a float model, read and cleaned."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tightfit.conversion.fusions.lookups import look_up_rows
from tightfit.conversion.held_models import temporary_place
from tightfit.conversion.open_model import open_model
from tightfit.graph.ir import Model
from tightfit.graph.passes.clean import clean
from tightfit.graph.reader import read_model
from tightfit.graph.sparsity import restore_sparse
from tightfit.graph.writer import write_model
from tightfit.quantization.from_integers.held import is_quantized
from tightfit.quantization.from_integers.start import Start
from tightfit.quantization.from_integers.take import take_plan


@dataclass
class Source:
    """A float model ready to be quantized.

    Args:
        path: of the float ``.tflite`` that ``model`` was read from.
        model: the cleaned graph.
        notes: what the clean-up did.
        facts: what a file made of it records about its data, overrides and steps; None leaves provenance out.
        start: what the quantized model has that this is the float graph of; None for a float model.
        sparse: whether the file stores weights without their zeros.
        reference: the model that names outputs and that files are compared with, where ``model`` was changed.
    """

    path: Path
    model: Model
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] | None = field(default_factory=dict)
    start: Start | None = None
    reference: Model | None = None
    sparse: bool = False

    @property
    def compared(self) -> Model:
        """The model that files made of this one are compared with."""
        return self.model if self.reference is None else self.reference


def open_source(model: Any) -> Source:
    """Read and clean a model; convert it first where needed; sparse constants become dense.

    A quantized model becomes the float graph that its integers stand for, and its scales stand in ``start``.

    Args:
        model: anything that ``open_model.open_model`` takes.

    Returns:
        The source with its notes.

    Raises:
        ModelError: it cannot be read, or its integers have no float graph.
    """
    path = open_model(model)
    graph = read_model(path)
    sparse = any(t.sparsity is not None for g in graph.graphs for t in g.tensors())
    notes = [*restore_sparse(graph), *clean(graph), *look_up_rows(graph)]
    if not is_quantized(graph):
        return Source(path, graph, notes, sparse=sparse)
    taken = take_plan(graph)
    twin = temporary_place(str(path))
    write_model(taken.model, twin)
    return Source(twin, taken.model, [*notes, *taken.notes], start=Start(path, taken.plan))

"""The one place where samples are divided for a file that takes an input in pieces.

Data holds whole inputs, as the model had them. ``Dataset`` reads these and gives samples with the pieces; a
sample also keeps the whole, for models beside it that were not split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tightfit.data.sample import InputSpec, Sample
from tightfit.graph.split_inputs import input_pieces, split_values, whole_shape


def whole_inputs(specs: Sequence[InputSpec]) -> tuple[InputSpec, ...]:
    """Return what data must have for a model: its inputs, with pieces of one input put together.

    Args:
        specs: the model's inputs.

    Example:
        >>> pieces = [InputSpec("x[1:0-2]", (1, 2), "int8", 0.1, 0), InputSpec("x[1:2-3]-7", (1, 1), "int8")]
        >>> [(s.name, s.shape, s.dtype) for s in whole_inputs(pieces)]
        [('x', (1, 3), 'float32')]
    """
    wholes = input_pieces(s.name for s in specs)
    shapes = {s.name: s.shape for s in specs}
    inside = {piece.name for pieces in wholes.values() for piece in pieces}
    joined = tuple(InputSpec(n, whole_shape(pieces, shapes), "float32") for n, pieces in wholes.items())
    return (*joined, *(s for s in specs if s.name not in inside))


def divide(sample: Sample, names: Sequence[str]) -> Sample:
    """Return a sample with the inputs that a model takes in pieces.

    Args:
        sample: with whole inputs.
        names: of the model's inputs.
    """
    inputs = split_values(sample.inputs, names)
    return (
        sample if inputs is sample.inputs else replace(sample, inputs=dict(inputs), undivided=sample.inputs)
    )

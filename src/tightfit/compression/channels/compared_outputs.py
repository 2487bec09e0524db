"""Where the outputs of a model are compared: before a closing softmax, which hides differences."""

from __future__ import annotations

from tightfit.graph.ir import Tensor


def before_softmax(end: Tensor) -> Tensor:
    """Gives what a closing softmax is taken of; any other output as it is."""
    producer = end.producer
    source = None if producer is None or producer.kind != "SOFTMAX" else producer.inputs[0]
    return end if source is None or source.is_constant else source

"""Attention-mask clipping: reduce attention masks to the range that their SOFTMAX needs.

Converters mask a score by adding −1e4 to −3e38, or by selecting such a constant. No integer type represents
that beside the scores, so the differences of scores are lost. A masked probability is
``exp(mask + score − best score)``, which float32 rounds to zero from 16 below the least score on. A mask of
the scores' range plus a margin therefore gives the same outputs, and costs one bit of resolution instead of
all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.ops.data_movement import moves_data, source_tensor

MARGIN: Final = 16.0
"""This far below the least score a probability is under 1.2e-7, the resolution of float32."""

UNSEEN: Final = 1.5
"""Factor by which scores of other samples may exceed the calibrated range."""

SATURATED: Final = 8.0
"""The integer range may end this far below the least score: saturated probabilities are under 1/2,900."""

_WORTH: Final = 2.0
_CHOOSERS: Final = {"SELECT": (1, 2), "SELECT_V2": (1, 2)}


@dataclass
class AttentionMask:
    """One source of large negative values.

    Args:
        source: the tensor of the mask.
        places: the ADD or SELECT ops that read it, each with the input position.
        least: the least value after clipping.
    """

    source: Tensor
    places: list[tuple[Op, int]]
    least: float


def shrink_masks(model: Model, ranges: Ranges) -> tuple[Model, dict[str, Range]]:
    """Return the model with clipped masks, and the ranges of the masked scores.

    Args:
        model: the float model; it is not changed.
        ranges: its calibrated ranges.

    Returns:
        The changed model, and tensor key → range that integers need; the same model object and no ranges
        where no mask can be clipped.
    """
    twin = copy_model(model)
    seen = _Seen(twin.main, ranges)
    masked: dict[str, Range] = {}
    for mask in _masks(twin.main, seen):
        if not _shrink(twin.main, mask, seen):
            continue
        for op, position in mask.places:
            low, high = seen.range(_others(op, position))
            masked[seen.keys[op.outputs[0]]] = (low - SATURATED, high)
    return (twin, masked) if masked else (model, {})


class _Seen:
    """The ranges of a graph's tensors: of a constant its own, else the calibrated one."""

    def __init__(self, graph: Graph, ranges: Ranges) -> None:
        self.keys, self.ranges = graph.keys(), ranges

    def range(self, tensor: Tensor | None) -> Range:
        """Return the (least, largest) value; infinite where the tensor was not calibrated."""
        if tensor is not None and tensor.data is not None:
            return float(tensor.data.min(initial=0.0)), float(tensor.data.max(initial=0.0))
        found = None if tensor is None else self.ranges.find(0, self.keys[tensor], "int16")
        return (-np.inf, np.inf) if found is None else found


def _masks(graph: Graph, seen: _Seen) -> list[AttentionMask]:
    """The masks of all attention scores, one for each source tensor."""
    found: dict[Tensor, AttentionMask] = {}
    for op in graph.ops:
        adds = op.kind == "ADD" and op.options.get("fusedActivationFunction", 0) == 0
        if not (adds or op.kind in _CHOOSERS) or not _only_softmax(op.outputs[0]):
            continue
        for position in (0, 1) if adds else _CHOOSERS[op.kind]:
            tensor, other = op.input(position), _others(op, position)
            if tensor is None or other is None:
                continue
            low, high = seen.range(other)
            least = -(UNSEEN * (high - low) + MARGIN) + (0.0 if adds else low)
            if np.isfinite(least) and seen.range(tensor)[0] < _WORTH * least:
                mask = found.setdefault(
                    source_tensor(tensor), AttentionMask(source_tensor(tensor), [], least)
                )
                mask.places.append((op, position))
                mask.least = min(mask.least, least)
    return list(found.values())


def _only_softmax(tensor: Tensor) -> bool:
    """True when only SOFTMAX reads a tensor, directly or through data-movement ops."""
    readers = [op for op, _ in tensor.consumers]
    return (
        bool(readers)
        and not _is_output(tensor)
        and all(op.kind == "SOFTMAX" or (moves_data(op) and _only_softmax(op.outputs[0])) for op in readers)
    )


def _others(op: Op, position: int) -> Tensor | None:
    """The other operand than the one at a position."""
    places = _CHOOSERS.get(op.kind, (0, 1))
    return op.input(places[0] if position == places[1] else places[1])


def _shrink(graph: Graph, mask: AttentionMask, seen: _Seen) -> bool:
    """Clip a mask's values; return False where they are computed in a way that is not supported."""
    source, producer = mask.source, mask.source.producer
    if source.data is not None:
        for op, position in mask.places:
            graph.set_input(op, position, _clipped(source, mask.least))
        return True
    if producer is None or not _read_only_by(source, {op for op, _ in mask.places}):
        return False
    for position, tensor in list(enumerate(producer.inputs)):
        if tensor is None or tensor.data is None or tensor.dtype != "float32":
            continue
        if producer.kind == "MUL" and tensor.size == 1:
            # A mask of 0 and 1 times a large value: the large factor is replaced by the least value.
            share = np.float32(mask.least / seen.range(source)[0])
            data = np.asarray(tensor.data * share, np.float32)
            graph.set_input(producer, position, Tensor(tensor.name, tensor.shape, data=data))
            return True
        if producer.kind in _CHOOSERS and tensor.data.min() < mask.least:
            graph.set_input(producer, position, _clipped(tensor, mask.least))
            return True
    return False


def _clipped(tensor: Tensor, least: float) -> Tensor:
    data = np.maximum(np.asarray(tensor.data, np.float32), np.float32(least))
    return Tensor(tensor.name, tensor.shape, data=data)


def _is_output(tensor: Tensor) -> bool:
    graph = None if tensor.producer is None else tensor.producer.graph
    return graph is not None and tensor in graph.outputs


def _read_only_by(tensor: Tensor, ops: set[Op]) -> bool:
    """True when only these ops read a tensor, directly or through data-movement ops."""
    return not _is_output(tensor) and all(
        op in ops or (moves_data(op) and _read_only_by(op.outputs[0], ops)) for op, _ in tensor.consumers
    )

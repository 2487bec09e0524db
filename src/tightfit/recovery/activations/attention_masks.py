"""Attention masks no larger than their SOFTMAX needs.

Converters mask a score by adding -1e4 to -3e38, or choose such a constant. No integer type holds that beside
the scores themselves, so their differences are lost. A masked share is ``exp(mask + score − best score)``:
zero in float32 from -16 below the least score on, so a mask as large as the scores' range plus some margin
gives the same answers and costs a bit instead of all of them.
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
"""Below the least score by this much, a share is under 1.2e-7: the step of float32."""

UNSEEN: Final = 1.5
"""Scores of other samples may span this much more than the calibrated ones."""

SATURATED: Final = 8.0
"""Integers may end this far below the least score: what saturates there has a share under one in 2,900."""

_WORTH: Final = 2.0
_CHOOSERS: Final = {"SELECT": (1, 2), "SELECT_V2": (1, 2)}


@dataclass
class AttentionMask:
    """One source of large negative values.

    Args:
        places: (op, position) of the ADD or choice that reads it.
        least: what it is to become.
    """

    source: Tensor
    places: list[tuple[Op, int]]
    least: float


def shrink_masks(model: Model, ranges: Ranges) -> tuple[Model, dict[str, Range]]:
    """Return the model with smaller masks, and the ranges that integers need of the masked scores by key.

    Args:
        model: the float model; it is not changed.
        ranges: what calibration saw of it.

    Returns:
        the same model object and no ranges where there is nothing to shrink.
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
    """Ranges of a graph's tensors: a constant's own, or calibrated."""

    def __init__(self, graph: Graph, ranges: Ranges) -> None:
        self.keys, self.ranges = graph.keys(), ranges

    def range(self, tensor: Tensor | None) -> Range:
        """Return the extremes; infinite where nothing is known."""
        if tensor is not None and tensor.data is not None:
            return float(tensor.data.min(initial=0.0)), float(tensor.data.max(initial=0.0))
        found = None if tensor is None else self.ranges.find(0, self.keys[tensor], "int16")
        return (-np.inf, np.inf) if found is None else found


def _masks(graph: Graph, seen: _Seen) -> list[AttentionMask]:
    """The masks of all scores, each source once."""
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
    """True when nothing but SOFTMAX reads a tensor, through ops that move at most."""
    readers = [op for op, _ in tensor.consumers]
    return (
        bool(readers)
        and not _is_output(tensor)
        and all(op.kind == "SOFTMAX" or (moves_data(op) and _only_softmax(op.outputs[0])) for op in readers)
    )


def _others(op: Op, position: int) -> Tensor | None:
    """The operand beside the one at a position."""
    places = _CHOOSERS.get(op.kind, (0, 1))
    return op.input(places[0] if position == places[1] else places[1])


def _shrink(graph: Graph, mask: AttentionMask, seen: _Seen) -> bool:
    """Make a mask's values as small as they may be; False where they come from elsewhere."""
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
            # The factor of 0 and 1: zeros stay, the rest becomes the least value.
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
    """True when nothing but these ops reads a tensor, through ops that move at most."""
    return not _is_output(tensor) and all(
        op in ops or (moves_data(op) and _read_only_by(op.outputs[0], ops)) for op, _ in tensor.consumers
    )

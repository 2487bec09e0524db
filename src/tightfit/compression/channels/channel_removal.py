"""Remove channels from a graph: cut the tensors and update the sizes in op options and operands.

``silence_channels`` returns a graph of the same size in which the channels are multiplied by zero. Both
compute the same, up to the order of float sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tightfit.compression.channels.channel_groups import Dependencies, find_dependencies
from tightfit.compression.channels.channel_rules import CHANNEL_RULES
from tightfit.compression.channels.channel_trace import SUMMED, Kept, TracePlace
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.types import Array, Mask


def remove_channels(model: Model, stays: Mask) -> Model:
    """Return a copy of the model without the removed channels.

    Args:
        model: a cleaned float model; it is not changed.
        stays: keep mask: for each channel number of ``find_dependencies(model)``, whether it is kept.

    Raises:
        ModelError: the given graph is inconsistent.
    """
    twin = copy_model(model)
    found = find_dependencies(twin)
    kept = {t: Kept(la.axis, stays[la.channels]) for t, la in found.labels.items()}
    kept = {t: k for t, k in kept.items() if not k.mask.all()}
    for tensor, part in kept.items():
        _shorten(tensor, part)
    _cut_constants(found, stays)
    for op in twin.main.ops:
        rule = CHANNEL_RULES.get(op.kind)
        if rule is not None and rule.amend is not None:
            rule.amend(op, kept)
    twin.validate()
    return twin


def silence_channels(model: Model, stays: Mask) -> Model:
    """Return a copy of the same size in which the removed channels are multiplied by zero."""
    twin = copy_model(model)
    for place in find_dependencies(twin).places:
        if place.role == SUMMED:
            place.tensor.data = _masked(place, stays)
    return twin


def _masked(place: TracePlace, stays: Mask) -> Array:
    data = np.array(place.tensor.data)
    np.moveaxis(data, place.axis, 0)[~stays[place.channels]] = 0
    return data


def _shorten(tensor: Any, part: Kept) -> None:
    size = int(part.mask.sum())
    tensor.shape = (*tensor.shape[: part.axis], size, *tensor.shape[part.axis + 1 :])
    signature = tensor.shape_signature
    if signature is not None and signature[part.axis] != -1:
        tensor.shape_signature = (*signature[: part.axis], size, *signature[part.axis + 1 :])


def _cut_constants(found: Dependencies, stays: Mask) -> None:
    """Cut each axis of each constant once; constants that shared memory share it afterwards."""
    made: dict[Any, Array] = {}
    axes = {(p.tensor, p.axis): stays[p.channels] for p in found.places}
    cuts: dict[Any, list[tuple[int, Mask]]] = {}
    for (tensor, axis), mask in axes.items():
        if not mask.all():
            cuts.setdefault(tensor, []).append((axis, mask))
    for tensor, several in cuts.items():
        data = np.asarray(tensor.data)
        key = (
            data.__array_interface__["data"][0], data.shape, data.strides,
            tuple((axis, mask.tobytes()) for axis, mask in sorted(several, key=lambda c: c[0])),
        )  # fmt: skip
        if key not in made:
            for axis, mask in several:
                data = np.compress(mask, data, axis)
            made[key] = np.ascontiguousarray(data)
        tensor.data = made[key]
        tensor.shape = made[key].shape

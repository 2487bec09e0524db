"""Options of metrics that follow from labels and outputs: units of boxes, spans of pixels, thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from tightfit.evaluation.labels.class_ranges import is_distribution
from tightfit.evaluation.labels.label_kinds import Head, Probe
from tightfit.evaluation.metrics.boxes import truth_of
from tightfit.evaluation.metrics.classes import units
from tightfit.evaluation.metrics.decoders import find_decoder
from tightfit.types import Array

_PIXELS: Final = 2.0
"""Corners above are pixels: fractions may leave the image by a little."""


def box_options(probes: Sequence[Probe], head: Head, options: Mapping[str, Any]) -> dict[str, Any]:
    """What brings labelled boxes to the unit of the found ones, and the input's width."""
    image = next((a for a in probes[0].inputs.values() if a.ndim == 4), None)
    height, width = image.shape[1:3] if image is not None and image.shape[-1] in (1, 3, 4) else (1, 1)
    if image is not None and image.shape[-1] not in (1, 3, 4):
        height, width = image.shape[2:4]
    decoder, known = find_decoder(options), {**options, "found_size": width}
    form = str(options.get("labels", "xyxy"))
    truths = [truth_of(p.at(head.key), p.labels, form).corners for p in probes]
    labelled = _are_fractions(truths)
    found = decoder.fractions
    if found is None:
        found = _are_fractions([decoder.decode(p.outputs, known).corners for p in probes])
    size = np.array([width, height, width, height], np.float64)
    scale = 1.0 if labelled is None or found is None or labelled == found else size if labelled else 1 / size
    return {"found_size": width, "truth_scale": scale}


def _are_fractions(corners: Sequence[Array]) -> bool | None:
    """True where no corner lies beyond what a fraction of the image can; None without boxes."""
    some = [c for c in corners if c.size]
    return all(np.median(np.abs(c).max(axis=1)) <= _PIXELS for c in some) if some else None


def pixel_range(probes: Sequence[Probe], key: str) -> float:
    """The span of pixel values: 1 or 255 where the labels lie within, else their spread."""
    labels = [
        np.asarray(label) for p in probes if (label := p.at(key)) is not None and not isinstance(label, str)
    ]
    arrays = labels or [next(iter(p.inputs.values()), np.zeros(1)) for p in probes]
    low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    if low >= 0 and high <= 255:
        return 1.0 if high <= 1 else 255.0
    return high - low


def decided_outputs(name: str, probes: Sequence[Probe], output: str) -> tuple[str, ...]:
    """Outputs that decide: those that are probabilities, and the one that a metric of decisions scores."""
    outputs = probes[0].outputs
    found = [key for key in outputs if scores_classes(probes, key)]
    if name.startswith("top") and output not in found:
        found.append(output)
    if name == "agreement" and not found:
        found = [key for key, array in outputs.items() if units(array) > 1] or list(outputs)
    return tuple(found)


def scores_classes(probes: Sequence[Probe], name: str) -> bool:
    """True when every answer is a softmax over two classes or more."""
    return all(is_distribution(p.outputs[name]) for p in probes)


def decision_threshold(probes: Sequence[Probe], output: str) -> float:
    """0.5 for a sigmoid's output; 0 when the reference leaves 0 to 1, so that its outputs are logits."""
    inside = all(((p.outputs[output] >= 0) & (p.outputs[output] <= 1)).all() for p in probes)
    return 0.5 if inside else 0.0

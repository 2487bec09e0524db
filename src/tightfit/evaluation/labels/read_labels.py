"""What the labels of an output mean. This is decided here once, for every command.

A ``Head`` says which label belongs to which output and how it is read. It follows from the labels, from the
reference's first outputs, and from what the user named. What does not fit together is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from tightfit.data.keras_order import only_order
from tightfit.data.sample import WEIGHT, Label
from tightfit.errors import DataError
from tightfit.evaluation.labels.class_ranges import options_for
from tightfit.evaluation.labels.classify_labels import are_box_rows, is_span, kind_of, stated_kind
from tightfit.evaluation.labels.label_kinds import BOXES, INPUT, PLAIN, SPAN, Head, Probe, Reading
from tightfit.evaluation.metrics.classes import units
from tightfit.types import Array

_BOX_NAMES: Final = (
    "boxes",
    "classes",
    "class_ids",
    "labels",
    "class",
    "category_id",
    "crowd",
    "iscrowd",
    "difficult",
)


_BESIDE: Final = ("area", WEIGHT)


_OF_THE_FIRST: Final = ("text", "transcript", "keypoints")


def read_labels(
    probes: Sequence[Probe],
    scalars: Mapping[str, Array],
    output: str | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Reading:
    """Return what the labels mean.

    Args:
        probes: the first samples with the reference's outputs.
        scalars: the numbers of all samples by key, of labels that are one number each.
        output: the user's choice for a label without a name.
        kinds: output → kind that the user says; the key "" is for every other output.

    Raises:
        DataError: when a label fits no output.
    """
    reading, first, said = Reading(), probes[0], _said(kinds or {}, probes[0])
    names = _named(first, reading)
    for key, name in names.items():
        reading.heads.append(read_output(probes, name, key, scalars.get(key), said.get(name)))
    if "boxes" in first.labels and "boxes" not in names:
        reading.heads.append(Head("", BOXES, "boxes"))
    if first.label is not None and not names:
        reading.heads.append(_plain(probes, scalars.get(PLAIN), output, said))
    labelled = {head.output for head in reading.heads}
    for name in _given_back(first, said, kinds or {}) - labelled:
        reading.heads.append(Head(name, INPUT, PLAIN, {"truth": "input"}))
    return reading


def _given_back(probe: Probe, said: Mapping[str, str], kinds: Mapping[str, str]) -> set[str]:
    """The outputs that are compared with the model's input without a label.

    Raises:
        DataError: one has another size than the input.
    """
    size = next((a.size for a in probe.inputs.values()), 0)
    fitting = {name for name, kind in said.items() if kind == INPUT and probe.outputs[name].size == size}
    wrong = [name for name, kind in kinds.items() if kind == INPUT and name and name not in fitting]
    if wrong or (kinds.get("") == INPUT and not fitting):
        name = next(iter(wrong), next(iter(probe.outputs)))
        raise DataError(
            f"Output '{name}' has {probe.outputs[name].size} numbers and the input {size}; an output that is "
            "compared with the input has as many. Give labels, or another loss."
        )
    return fitting


def _said(kinds: Mapping[str, str], probe: Probe) -> dict[str, str]:
    """The kind that the user says, of each output."""
    every = kinds.get("")
    return {name: kind for name in probe.outputs if (kind := kinds.get(name, every)) is not None}


def _named(probe: Probe, reading: Reading) -> dict[str, str]:
    """Each named label with its output; what belongs to none is noted, or refused when nothing fits."""
    found: dict[str, str] = {}
    outputs = list(probe.outputs)
    lower = {name.lower(): name for name in outputs} | _by_number(probe)
    for key, label in probe.labels.items():
        name = lower.get(key.lower())
        if name is None and key in _OF_THE_FIRST:
            name = outputs[0]
        if name is not None and _could_fit(label, probe.outputs[name]):
            found[key] = name
    boxes = "boxes" in probe.labels and "boxes" not in found
    used = {*found, *_BESIDE, *(_BOX_NAMES if boxes else ())}
    left = [key for key in probe.labels if key not in used]
    if left and not found and not boxes and probe.label is None:
        raise DataError(
            f"The labels {', '.join(map(repr, left))} have no output: the model's are "
            f"{', '.join(map(repr, outputs))}. Name each label as its output."
        )
    if left:
        reading.notes.append(
            f"The labels {', '.join(map(repr, left))} belong to no output "
            f"({', '.join(map(repr, outputs))}), so "
            "nothing is measured with them. Name each label as its output."
        )
    return found


def _by_number(probe: Probe) -> dict[str, str]:
    """The outputs of labels that have a number instead of a name: by their sizes, else by numbered names.

    Raises:
        DataError: several orders fit, as the file sorts outputs by name.
    """
    keys = [key for key in probe.labels if key.startswith("#")]
    outputs = list(probe.outputs)
    if len(keys) != len(outputs):
        return dict(zip(keys, outputs, strict=False))
    pairs = [[(probe.labels[key], probe.outputs[name]) for name in outputs] for key in keys]
    exact = [[np.asarray(label).size == output.size for label, output in row] for row in pairs]
    loose = [[_could_fit(label, output) for label, output in row] for row in pairs]
    order = only_order(exact, outputs) or only_order(loose, outputs)
    if order is None and keys:
        raise DataError(
            f"The labels are {len(keys)} arrays without names, and their shapes do not say which belongs to "
            f"which of the outputs {', '.join(map(repr, outputs))}. Pass a dict of labels by output name."
        )
    return {key: outputs[place] for key, place in zip(keys, order or [], strict=True)}


def _could_fit(label: Label, output: Array) -> bool:
    """True unless the label is a list of another length than the output's entries, places or frames."""
    if isinstance(label, str):
        return True
    size = np.asarray(label).size
    places = output.size // max(units(output), 1)
    return size in (1, output.size, places) or (output.ndim >= 2 and size <= places and output.ndim <= 3)


def _plain(
    probes: Sequence[Probe], scalars: Array | None, output: str | None, said: Mapping[str, str]
) -> Head:
    """The head of a label without a name: of the named output, else of the first that it fits."""
    outputs = list(probes[0].outputs)
    if output is not None:
        return read_output(probes, output, PLAIN, scalars, said.get(output))
    if is_span(probes):
        return Head("", SPAN, PLAIN)
    if are_box_rows(probes):
        return Head("", BOXES, PLAIN)
    reasons: list[DataError] = []
    for name in outputs:
        try:
            return read_output(probes, name, PLAIN, scalars, said.get(name))
        except DataError as error:
            reasons.append(error)
    raise reasons[0]


def read_output(
    probes: Sequence[Probe], name: str, key: str, scalars: Array | None, said: str | None = None
) -> Head:
    """Return what the label of a key means for one output.

    Args:
        probes: the first samples.
        name: of the output.
        key: of the label.
        scalars: the numbers of all samples, where the label is one number.
        said: the kind that the user says, else the labels show it.

    Raises:
        DataError: when the label does not fit the output.
    """
    if said == INPUT:
        return Head(name, INPUT, key, {"truth": "input"})
    labels = [p.at(key) for p in probes]
    outputs = [p.outputs[name] for p in probes]
    if any(label is None for label in labels):
        raise DataError(f"Some samples have no label '{key or 'y'}'. Label all of them or none.")
    known = [label for label in labels if label is not None]
    kind = (
        kind_of(known, outputs, scalars, [p.inputs for p in probes])
        if said is None
        else stated_kind(said, known[0], outputs[0], name)
    )
    return Head(name, kind, key, options_for(kind, known, outputs, scalars, name))

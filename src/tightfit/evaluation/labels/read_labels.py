"""What the labels of an output mean. This is decided here once, for every command.

A ``Head`` says which label belongs to which output and how it is read. It follows from the labels, from the
reference's first outputs, and from what the user named. What does not fit together is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from tightfit.data.sample import WEIGHT, Label, shape_text
from tightfit.errors import DataError
from tightfit.evaluation.metrics.classes import class_labels, units
from tightfit.types import Array

CLASS: Final = "class"
"""One class a sample: an index, a number that is one, or a one-hot vector."""

SEVERAL: Final = "several classes"
"""Several classes at once: zeros and ones, one for each unit."""

PLACES: Final = "class of each place"
"""A class for each place: segmentation, tagging."""

VALUES: Final = "values"
"""As many real numbers as the output has."""

INPUT: Final = "input"
"""The model's own input: an autoencoder."""

RANK: Final = "rank"
"""One of units + 1 ordered classes, of units that each say whether the rank is above theirs."""

CLASSES: Final = "classes"
"""What a user says where places decide between ``CLASS`` and ``PLACES``."""

BINARY: Final = "zeros and ones"
"""What a user says where units decide between ``SEVERAL`` and ``CLASSES``."""

TEXT: Final = "transcript"
"""A transcript, as text or as indices of the alphabet."""

SPAN: Final = "span"
"""First and last place of an answer, of two outputs."""

BOXES: Final = "boxes"
"""Boxes with classes, of all outputs together."""

OWN: Final = "as the user's loss reads it"
"""What only a function of the user reads."""

TRAINED: Final = (CLASS, PLACES, SEVERAL, VALUES, INPUT, RANK)
"""Kinds of labels that a training learns from; of others the float model teaches alone."""

PLAIN: Final = ""
"""Key of a label without a name."""

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
_IGNORED: Final = 255
"""The class of places that do not count, in PASCAL VOC, Cityscapes and ADE20K."""

_SUM_TOLERANCE = 0.02  # softmax in int8 steps of 1/256 still sums to one within this for a few classes


class Probe(NamedTuple):
    """One sample that shows what labels mean.

    Args:
        label: without a name, or None.
        outputs: of the reference, by name.
        labels: by name.
        inputs: of the sample.
    """

    label: Label | None
    outputs: Mapping[str, Array]
    labels: Mapping[str, Label] = {}
    inputs: Mapping[str, Array] = {}

    def at(self, key: str) -> Label | None:
        """The label of a key."""
        return self.label if key == PLAIN else self.labels.get(key)


@dataclass(frozen=True)
class Head:
    """What the label of one output means.

    Args:
        output: its name.
        kind: one of the constants of this module.
        key: of the label; "" without a name.
        options: how it is read: ``several``, ``ignored``, ``signs``, ``ranks``, ``probabilities``, ``truth``.
    """

    output: str
    kind: str
    key: str = PLAIN
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Reading:
    """What all labels mean: a head for each labelled output, and what a reader should know."""

    heads: list[Head] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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
    lower = {name.lower(): name for name in outputs}
    for key, label in probe.labels.items():
        name = lower.get(key.lower())
        if key.startswith("#") and int(key[1:]) < len(outputs):
            name = outputs[int(key[1:])]
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
    if _is_span(probes):
        return Head("", SPAN, PLAIN)
    if _are_box_rows(probes):
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
        else _fitting(said, known[0], outputs[0], name)
    )
    return Head(name, kind, key, options_for(kind, known, outputs, scalars, name))


def _fitting(said: str, label: Label, output: Array, name: str) -> str:
    """The kind that the user says, checked against the sizes of label and output."""
    size = np.asarray(label).size
    places = output.size // max(units(output), 1)
    if said == BINARY:
        said = SEVERAL if units(output) > 1 else CLASSES
    kind = (CLASS if places == 1 else PLACES) if said == CLASSES else said
    expected = {SEVERAL: (output.size,), VALUES: (output.size, places), RANK: (1,)}.get(kind)
    if expected is not None and size not in expected:
        raise DataError(
            f"The labels of output '{name}' have {size} numbers a sample; as '{kind}' they are "
            f"{' or '.join(map(str, dict.fromkeys(expected)))}. Choose another loss or metric."
        )
    return kind


def kind_of(  # noqa: PLR0911 - one line for each kind
    labels: Sequence[Label],
    outputs: Sequence[Array],
    scalars: Array | None,
    inputs: Sequence[Mapping[str, Array]],
) -> str:
    """Return what the labels of an output are, by their shape and their numbers.

    Raises:
        DataError: when they are none of the kinds.
    """
    label, output = labels[0], outputs[0]
    places = output.size // max(units(output), 1)
    if isinstance(label, str):
        if places == 1 and output.dtype.kind == "f":
            raise DataError(f"A label is '{label}'. Expected numbers: class indices from 0, or real numbers.")
        return TEXT
    array = np.asarray(label)
    if units(output) == 1:
        return _of_one_unit(labels, outputs, scalars)
    if array.size == output.size:
        return _of_every_entry(labels, outputs, inputs)
    if array.size == places == 1:
        return CLASS
    if array.size == places and all(_are_whole(each) for each in labels):
        return PLACES
    if (
        output.ndim in (2, 3)
        and places > 1
        and array.size <= places
        and all(_are_whole(each) for each in labels)
    ):
        return TEXT
    class_labels(label, output)  # says what it expects
    return CLASS


def _of_one_unit(labels: Sequence[Label], outputs: Sequence[Array], scalars: Array | None) -> str:
    """A single unit decides where all labels are 0 and 1, or −1 and 1; else it is a number."""
    values = (
        np.unique(scalars)
        if scalars is not None
        else np.unique(np.concatenate([np.ravel(x) for x in labels]))
    )
    binary = set(values.tolist()) <= {0, 1} or set(values.tolist()) == {-1, 1}
    if not binary or any(np.asarray(x).size != o.size for x, o in zip(labels, outputs, strict=True)):
        return VALUES
    if outputs[0].size == 1:
        return CLASS
    spread = [o for o in outputs if o.min() < 0 or o.max() > 1]
    return VALUES if spread else PLACES


def _of_every_entry(
    labels: Sequence[Label], outputs: Sequence[Array], inputs: Sequence[Mapping[str, Array]]
) -> str:
    """Labels of as many numbers as the output has: one-hot, several classes, the input, or values."""
    if _is_input(labels, inputs):
        return INPUT
    arrays = [np.asarray(x) for x in labels]
    if any(((a != 0) & (a != 1)).any() for a in arrays):
        return VALUES
    width = units(outputs[0])
    one_hot = all((a.reshape(-1, width).sum(axis=1) == 1).all() for a in arrays)
    if outputs[0].size == width and not one_hot:
        return SEVERAL
    return (CLASS if outputs[0].size == width else PLACES) if one_hot else VALUES


def _is_input(labels: Sequence[Label], inputs: Sequence[Mapping[str, Array]]) -> bool:
    """True when every label is the sample's first input."""
    for label, given in zip(labels, inputs, strict=True):
        array = np.asarray(label)
        first = next(iter(given.values()), None)
        if first is None or first.size != array.size or array.size < 2:
            return False
        if not np.allclose(array.reshape(-1), first.reshape(-1), rtol=1e-5, atol=1e-6):
            return False
    return True


def _are_whole(label: Label) -> bool:
    array = np.asarray(label)
    return array.dtype.kind in "iub" or bool((array == np.floor(array)).all())


def _is_span(probes: Sequence[Probe]) -> bool:
    """Two outputs of one row of scores each, and labels that are pairs of places."""
    outputs = list(probes[0].outputs.values())
    if len(outputs) != 2 or outputs[0].shape != outputs[1].shape or outputs[0].size != units(outputs[0]):
        return False
    labels = [np.asarray(p.label) for p in probes if not isinstance(p.label, str)]
    return all(
        x.ndim >= 1 and x.shape[-1] == 2 and _are_whole(x) and x.max() < outputs[0].size for x in labels
    )


def _are_box_rows(probes: Sequence[Probe]) -> bool:
    """Labels of different lengths, or padded ones, of five numbers a row: class and box."""
    if any(p.label is None or isinstance(p.label, str | int) for p in probes):
        return False
    arrays = [np.asarray(p.label) for p in probes]
    if any(a.ndim != 2 or a.shape[1] != 5 for a in arrays):
        return False
    fits = any(arrays[0].size == o.size for o in probes[0].outputs.values())
    return not fits and all((a[:, 0] == np.floor(a[:, 0])).all() for a in arrays)


def options_for(
    kind: str, labels: Sequence[Label], outputs: Sequence[Array], scalars: Array | None, name: str
) -> dict[str, Any]:
    """Return how a metric has to read labels of a kind.

    Raises:
        DataError: for classes outside of the output's.
    """
    if kind == SEVERAL:
        return {"several": True, "inside": _are_inside(outputs)}
    if kind == RANK:
        values = np.asarray([np.asarray(x).reshape(()) for x in labels]) if scalars is None else scalars
        _check_classes(values, outputs[0].size + 1, outputs[0], name)
        return {"several": True, "inside": _are_inside(outputs), "ranks": True}
    if kind not in (CLASS, PLACES):
        return {"truth": "input"} if kind == INPUT else {}
    options: dict[str, Any] = {
        "probabilities": all(is_distribution(o) for o in outputs),
        "inside": _are_inside(outputs),
    }
    values = np.unique(np.concatenate([np.ravel(np.asarray(x)) for x in labels]))
    if units(outputs[0]) == 1 and values.min() < 0:
        return {**options, "signs": True}
    if kind == PLACES and np.asarray(labels[0]).size != outputs[0].size:
        classes = max(units(outputs[0]), 2)
        ignored = [int(v) for v in values if v < 0 or (v == _IGNORED and classes <= _IGNORED)]
        check_range(np.array([v for v in values if v not in ignored]), outputs[0], name)
        return {
            **options,
            "ignored": tuple(sorted({*ignored, -1, -100, *([_IGNORED] if classes <= _IGNORED else [])})),
        }
    class_labels(labels[0], outputs[0])
    check_range(scalars, outputs[0], name)
    return options


def _are_inside(outputs: Sequence[Array]) -> bool:
    """True where every output lies in 0 to 1: probabilities rather than logits."""
    return all(o.min() >= 0 and o.max() <= 1 for o in outputs)


def is_distribution(output: Array) -> bool:
    """Return whether each row is a softmax over two classes or more: no negative entries, a sum of one."""
    if units(output) < 2 or output.min() < 0:
        return False
    return not bool((np.abs(output.sum(axis=-1) - 1) > _SUM_TOLERANCE).any())


def check_range(labels: Array | None, output: Array, name: str) -> None:
    """Refuses classes that an output does not have.

    Raises:
        DataError: says how many, and when labels seem to start at 1.
    """
    if labels is not None and len(labels):
        _check_classes(labels, max(units(output), 2), output, name)


def _check_classes(labels: Array, classes: int, output: Array, name: str) -> None:
    low, high, outside = labels.min(), labels.max(), int(((labels < 0) | (labels >= classes)).sum())
    if outside:
        hint = " The labels seem to start at 1: subtract one." if low == 1 and high == classes else ""
        if low == 0 and high == classes and classes == units(output):
            hint = " If the units say whether a rank is above theirs, train with --loss ordinal."
        raise DataError(
            f"{outside} of {len(labels)} labels lie outside of the {classes} classes of output '{name}' "
            f"(shape {shape_text(output.shape)}): they are {low} to {high}, not 0 to {classes - 1}.{hint}"
        )

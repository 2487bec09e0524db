"""The kind of labels, by their shapes and their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tightfit.data.sample import Label
from tightfit.errors import DataError
from tightfit.evaluation.labels.label_kinds import (
    BINARY,
    CLASS,
    CLASSES,
    INPUT,
    PLACES,
    RANK,
    SEVERAL,
    TEXT,
    VALUES,
    Probe,
)
from tightfit.evaluation.metrics.classes import class_labels, units
from tightfit.types import Array


def stated_kind(said: str, label: Label, output: Array, name: str) -> str:
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


def is_span(probes: Sequence[Probe]) -> bool:
    """Two outputs of one row of scores each, and labels that are pairs of places."""
    outputs = list(probes[0].outputs.values())
    if len(outputs) != 2 or outputs[0].shape != outputs[1].shape or outputs[0].size != units(outputs[0]):
        return False
    labels = [np.asarray(p.label) for p in probes if not isinstance(p.label, str)]
    return all(
        x.ndim >= 1 and x.shape[-1] == 2 and _are_whole(x) and x.max() < outputs[0].size for x in labels
    )


def are_box_rows(probes: Sequence[Probe]) -> bool:
    """Labels of different lengths, or padded ones, of five numbers a row: class and box."""
    if any(p.label is None or isinstance(p.label, str | int) for p in probes):
        return False
    arrays = [np.asarray(p.label) for p in probes]
    if any(a.ndim != 2 or a.shape[1] != 5 for a in arrays):
        return False
    fits = any(arrays[0].size == o.size for o in probes[0].outputs.values())
    return not fits and all((a[:, 0] == np.floor(a[:, 0])).all() for a in arrays)

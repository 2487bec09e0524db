"""What the labelled outputs of a sample should be, as arrays of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tightfit.data.sample import WEIGHT, Label, Sample
from tightfit.errors import DataError
from tightfit.evaluation.labels.label_kinds import CLASS, INPUT, PLACES, RANK, SEVERAL, VALUES, Head
from tightfit.evaluation.metrics.classes import class_labels
from tightfit.types import Array


def target_of(head: Head, sample: Sample, shape: tuple[int, ...]) -> Array:
    """Return what one output of a sample should be: classes, zeros and ones, reals; −1 does not count.

    Args:
        head: what the label means.
        sample: with its label.
        shape: of the output, with a batch of one.

    Raises:
        DataError: the label does not fit the output.
    """
    if head.kind in (VALUES, INPUT):
        return _values(head, sample, shape)
    label = _label(head, sample)
    if head.kind == SEVERAL:
        return np.asarray(label, np.float32).reshape(-1)
    if head.kind == RANK:
        return (np.asarray(label).reshape(()) > np.arange(int(np.prod(shape)))).astype(np.float32)
    if head.kind not in (CLASS, PLACES):
        return np.asarray(own_target(head, sample))
    classes = class_labels(label, np.broadcast_to(np.float32(0), shape))
    if head.options.get("signs"):
        classes = (classes > 0).astype(np.int64)
    classes = np.where(np.isin(classes, head.options.get("ignored", ())), -1, classes)
    count = max(shape[-1] if len(shape) > 1 else 1, 2)
    if classes.max(initial=0) >= count or classes.min(initial=0) < -1:
        raise DataError(
            f"{sample.name or 'A sample'} has the class {int(classes.max())}; output '{head.output}' has "
            f"{count} classes, 0 to {count - 1}."
        )
    return classes.astype(np.int32)


def own_target(head: Head, sample: Sample) -> Any:
    """Return the label as it is given, for a loss of the user: integers as int32, reals as float32."""
    if head.kind == INPUT:
        return np.asarray(next(iter(sample.inputs.values())), np.float32)[0]
    if not head.output and sample.labels:
        return {name: _plain(label) for name, label in sample.labels.items() if name != WEIGHT}
    return _plain(_label(head, sample))


def stack_targets(targets: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the targets of samples as arrays of a batch.

    Raises:
        DataError: labels of one output have different shapes.
    """
    return {name: _stacked(name, [each[name] for each in targets]) for name in targets[0]}


def weight_of(sample: Sample) -> float:
    """Return the weight of a sample, 1 where the data has none."""
    given = sample.labels.get(WEIGHT)
    return 1.0 if given is None or isinstance(given, str) else float(np.asarray(given).reshape(-1)[0])


def _stacked(name: str, each: list[Any]) -> Any:
    if isinstance(each[0], Mapping):
        return stack_targets(each)
    if len({np.shape(e) for e in each}) > 1:
        raise DataError(
            f"The labels of '{name or 'y'}' have different shapes, such as {np.shape(each[0])}; "
            "a batch takes one shape. Pad them to the same length."
        )
    return np.stack(each)


def _values(head: Head, sample: Sample, shape: tuple[int, ...]) -> Array:
    given = next(iter(sample.inputs.values())) if head.kind == INPUT else _label(head, sample)
    values = np.asarray(given, np.float32).reshape(-1)
    size, units = int(np.prod(shape)), shape[-1] if len(shape) > 1 else 1
    if values.size == size:
        return values
    if values.size * units != size or (values != np.floor(values)).any():
        raise DataError(f"A label has {values.size} numbers; output '{head.output}' has {size}.")
    return np.eye(units, dtype=np.float32)[values.astype(np.int64)].reshape(-1)


def _label(head: Head, sample: Sample) -> Label:
    label = sample.labels.get(head.key) if head.key else sample.label
    if label is None:
        raise DataError(f"{sample.name or 'A sample'} has no label '{head.key or 'y'}'. Label all or none.")
    return label


def _plain(label: Label) -> Array:
    if isinstance(label, str):
        raise DataError(f"A label is the text '{label}'; a loss takes numbers.")
    array = np.asarray(label)
    return array.astype(np.int32 if array.dtype.kind in "iub" else np.float32)

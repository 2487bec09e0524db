"""Classes of labels and of outputs: those outside are refused, and those that do not count are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tightfit.data.sample import Label, shape_text
from tightfit.errors import DataError
from tightfit.evaluation.labels.label_kinds import CLASS, INPUT, PLACES, RANK, SEVERAL
from tightfit.evaluation.metrics.classes import class_labels, units
from tightfit.types import Array

_IGNORED: Final = 255
"""The class of places that do not count, in PASCAL VOC, Cityscapes and ADE20K."""


_SUM_TOLERANCE = 0.02  # softmax in int8 steps of 1/256 still sums to one within this for a few classes


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

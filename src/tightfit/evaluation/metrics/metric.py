"""What a metric is: one row with its name, its direction, its unit, its words and one function.

A metric is of one of three kinds, by the function that its row has. ``score`` gives one number a sample, and
the metric is their mean. ``sums`` gives a vector a sample, and ``value`` computes the metric from the
vectors' sum, so memory does not grow with the samples. ``record`` gives what has to be kept of a sample
where ranks over all samples count, and ``whole`` computes the metric from the records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tightfit.data.sample import Label
from tightfit.types import Array

SHARE: Final = "share"
"""A fraction 0–1 that reads as a percentage, its changes as points."""

DECIBELS: Final = "dB"
"""A ratio of powers in decibels."""

NUMBER: Final = "number"
"""A plain number from 0 to 1 or −1 to 1 without a unit, such as a cosine."""

LABELS_UNIT: Final = "labels' unit"
"""An error in the unit of the labels: a limit given as one number is a share of the original's error."""


@dataclass(frozen=True)
class Answer:
    """What a model answers to one sample, beside the reference's answer and the labels.

    Args:
        outputs: output name → float array, integers already dequantized.
        reference: the same of the reference model.
        label: the label of ``output``, or None.
        output: the name of the output that is scored against the label.
        decided: the names of the outputs whose largest entry is a decision.
        threshold: above it, an output of one unit decides for class 1.
        labels: all labels of the sample by name.
        options: what the user wrote in parentheses, and what ``task`` found out.
        inputs: the sample's inputs, for models that give back their input.
    """

    outputs: Mapping[str, Array]
    reference: Mapping[str, Array]
    label: Label | None
    output: str
    decided: tuple[str, ...] = ()
    threshold: float = 0.5
    labels: Mapping[str, Label] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Array] = field(default_factory=dict)


Score = Callable[[Answer], float]
Sums = Callable[[Answer], Array]
Whole = Callable[[Sequence[Any], Array | None], float]


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Args:
        name: how the user spells it.
        score: one number for one sample; None for a metric of another kind.
        summary: what its value is, in words.
        needs_labels: False when it compares with the reference's outputs.
        higher_is_better: False for errors.
        perfect: what the reference scores against itself; None when it does not compare, or has no bound.
        best: what no sample's score is better than, or None.
        noun: what reports call it.
        unit: ``SHARE``, ``DECIBELS``, ``NUMBER`` or ``LABELS_UNIT``.
        labels: which labels it needs, in words; ``none`` where it needs none.
        formula: how it is computed, in words.
        sums: one vector of fixed length for one sample.
        value: the metric of summed vectors, one for each row.
        record: what is kept of one sample.
        whole: the metric of all records; the second argument weighs the samples, None counts each once.
        each: one score for each record, where the records of the others count in it.
        options: what may stand in parentheses: option → its meaning.
        proxy: what it cannot see, for a metric that stands in where there are no labels.
        reads: how it reads labels, one of the constants of ``evaluation.labels``; set by the table.
    """

    name: str
    score: Score | None
    summary: str
    needs_labels: bool = True
    higher_is_better: bool = True
    perfect: float | None = None
    best: float | None = None
    noun: str = ""
    unit: str = SHARE
    labels: str = "none"
    formula: str = ""
    sums: Sums | None = None
    value: Callable[[Array], Array] | None = None
    record: Callable[[Answer], Any] | None = None
    whole: Whole | None = None
    each: Callable[[Sequence[Any]], Array] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    proxy: str = ""
    reads: str = ""

    @property
    def sign(self) -> float:
        """1 where more is better, −1 for errors: ``sign · difference`` is negative where it is worse."""
        return 1.0 if self.higher_is_better else -1.0


def ratio(above: Array, below: Array, otherwise: float = 0.0) -> Array:
    """Return ``above / below``, ``otherwise`` where ``below`` is zero.

    Example:
        >>> ratio(np.array([1.0, 2.0]), np.array([4.0, 0.0])).tolist()
        [0.25, 0.0]
    """
    filled = np.full(np.broadcast(above, below).shape, otherwise, np.float64)
    return np.divide(above, below, out=filled, where=np.asarray(below) != 0)


def mean_where(values: Array, counts: Array) -> Array:
    """Return the mean over the last axis of the entries that count, 0 where none does.

    Example:
        >>> mean_where(np.array([[1.0, 9.0]]), np.array([[True, False]])).tolist()
        [1.0]
    """
    return ratio((values * counts).sum(axis=-1), counts.sum(axis=-1))

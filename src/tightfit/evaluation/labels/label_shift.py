"""Finds labels that are off by one from the model's classes, as with a background class in front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tightfit.data.sample import Label
from tightfit.errors import DataError
from tightfit.types import Array

_FEWEST = 20  # samples before a pattern is believed
_HITS = 0.5  # the share that must be right with shifted labels
_CHANCE = 2.5  # and how many times more than a model that avoids the label hits the next class by chance
_RATIO = 4  # how many times better the shifted labels must be
_CLASSES = 3  # a model that always says the same class hits one shifted label by chance


class LabelCheck:
    """Counts how often the reference is right with the labels as they are, one lower and one higher."""

    def __init__(self) -> None:
        self._count = self._scores = 0
        self._hits = {-1: 0, 0: 0, 1: 0}
        self._classes: dict[int, set[int]] = {-1: set(), 1: set()}

    def add(self, label: Label | None, output: Array) -> None:
        """Takes in one sample; only a class as label and one row of scores count."""
        if not isinstance(label, int) or output.size < 2 or output.shape[-1] != output.size:
            return
        self.count(label, int(np.argmax(output)), output.size)

    def count(self, label: int, decision: int, scores: int) -> None:
        """Takes in the decision for one labelled sample, of so many classes."""
        self._count += 1
        self._scores = scores
        shift = decision - label
        if shift in self._hits:
            self._hits[shift] += 1
        if shift in self._classes:
            self._classes[shift].add(label)

    def merge(self, following: LabelCheck) -> None:
        """Takes in the counts of other samples."""
        self._count += following._count
        self._scores = following._scores or self._scores
        for shift, hits in following._hits.items():
            self._hits[shift] += hits
        for shift, labels in following._classes.items():
            self._classes[shift] |= labels

    def found(self) -> Shift | None:
        """The shift that fits far better, None when there is none."""
        needed = self._count * max(_HITS, _CHANCE / max(self._scores - 1, 1))
        for shift, labels in self._classes.items():
            hits, plain = self._hits[shift], self._hits[0]
            if (
                self._count >= _FEWEST
                and hits >= needed
                and hits > _RATIO * plain
                and len(labels) >= _CLASSES
            ):
                return Shift(shift, hits, plain, self._count)
        return None

    def verify(self) -> None:
        """Raises when shifted labels fit far better.

        Raises:
            DataError: says by how much, and what to do.
        """
        shift = self.found()
        if shift is not None:
            verb = "Add one to" if shift.by > 0 else "Subtract one from"
            raise DataError(
                f"The labels are off by one: of {shift.count} samples the reference model is right on "
                f"{shift.plain} as they are, on {shift.hits} with label {shift.by:+d} (its output "
                f"has {self._scores} classes). {verb} every label."
            )


@dataclass(frozen=True)
class Shift:
    """How often the float model is right with labels as they are and with labels moved by ``by``."""

    by: int
    hits: int
    plain: int
    count: int

"""What a label can mean, and what was decided: kinds, heads, the reading of all labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tightfit.data.sample import Label
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

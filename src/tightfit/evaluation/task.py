"""What the models are asked to be good at: the metrics, the outputs that they score, how outputs decide.

``labels`` says what the labels mean; here each metric that is wanted gets its output and its options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tightfit.data.sample import Label
from tightfit.evaluation.labels import label_kinds as meaning
from tightfit.evaluation.labels.label_kinds import Reading
from tightfit.evaluation.metrics.metric import Answer, Metric
from tightfit.evaluation.metrics.spelling import AUTO, Wanted
from tightfit.evaluation.slices.quality import LOST_DECIDED_DB
from tightfit.types import Array

KINDS_OF: Final = {
    "classes": (meaning.CLASS, meaning.SEVERAL, meaning.PLACES, meaning.RANK),
    "values": (meaning.VALUES, meaning.INPUT),
    "image": (meaning.VALUES, meaning.INPUT),
    "points": (meaning.VALUES,),
    "sequence": (meaning.TEXT, meaning.SPAN),
    "boxes": (meaning.BOXES,),
    "embedding": (meaning.CLASS,),
}


@dataclass(frozen=True)
class Task:
    """One metric with its arguments; ``metric`` is None for a user's own function.

    Args:
        output: the output that labels belong to.
        decided: outputs whose largest entry is a decision; empty when nothing is decided.
        threshold: above it, a single unit decides for class 1.
        key: of the label.
        options: how the metric reads labels and outputs.
        wanted: what the user asked for.
    """

    metric: Metric | None
    output: str
    decided: tuple[str, ...] = ()
    threshold: float = 0.5
    key: str = meaning.PLAIN
    options: Mapping[str, Any] = field(default_factory=dict)
    wanted: Wanted = field(default_factory=lambda: Wanted(AUTO))

    @property
    def name(self) -> str:
        """The metric's name in results, with the output where it was named or there are several labels."""
        if self.metric is None:
            return self.wanted.key
        named = self.wanted.output or ""
        return self.metric.name + (f"@{named}" if named else "")

    def lost_db(self) -> dict[str, float]:
        """Return, for outputs whose decisions or labels are scored, below how many dB a slice is lost."""
        scored = (self.output,) if self.metric is None or self.metric.needs_labels else ()
        return dict.fromkeys((*self.decided, *scored), LOST_DECIDED_DB)

    def answer(
        self,
        outputs: Mapping[str, Array],
        reference: Mapping[str, Array],
        label: Label | None,
        labels: Mapping[str, Label] | None = None,
        inputs: Mapping[str, Array] | None = None,
    ) -> Answer:
        """One sample's answer as the metrics take it."""
        named = labels or {}
        own = label if self.key == meaning.PLAIN else named.get(self.key)
        if self.options.get("signs") and own is not None and not isinstance(own, str):
            own = (np.asarray(own) > 0).astype(np.int64)
        if self.options.get("ranks") and own is not None and not isinstance(own, str):
            own = (np.asarray(own).reshape(()) > np.arange(outputs[self.output].size)).astype(np.int64)
        return Answer(
            outputs,
            reference,
            own,
            self.output,
            self.decided,
            self.threshold,
            named,
            self.options,
            inputs or {},
        )


@dataclass
class Tasks:
    """All metrics of an evaluation, the first of them the main one; what the labels mean; what to know."""

    tasks: list[Task]
    reading: Reading

    @property
    def unlabelled(self) -> list[str]:
        """Outputs that no label belongs to."""
        scored = {head.output for head in self.reading.heads}
        return [] if "" in scored else [name for name in self.decidable if name not in scored]

    decidable: tuple[str, ...] = ()

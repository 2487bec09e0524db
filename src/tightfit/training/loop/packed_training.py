"""``PackedTraining``: the result of a training as bytes, as it travels between processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.quantization.plan import Plan
from tightfit.training.loop.training_data import Trained

PackedModel = tuple[bytes, Plan | None]


@dataclass(frozen=True)
class PackedTraining:
    """A ``Trained`` with its graphs as files: linked objects of a deep graph cannot be pickled.

    Args:
        end: the trained model and its plan.
        start: those before the training, or None.
        history: one row for each epoch.
        notes: remarks for the report.
        gained: see ``Trained``.
    """

    end: PackedModel
    start: PackedModel | None
    history: list[dict[str, Any]]
    notes: list[str]
    gained: float

    @classmethod
    def of(cls, trained: Trained) -> PackedTraining:
        """Return the result of a training, packed."""
        start = None if trained.start is None else _packed(*trained.start)
        end = _packed(trained.model, trained.plan)
        return cls(end, start, trained.history, trained.notes, trained.gained)

    def unpacked(self) -> Trained:
        """Return the result of the training."""
        model, plan = _unpacked(self.end)
        start = None if self.start is None else _unpacked(self.start)
        return Trained(model, plan, self.history, self.notes, self.gained, start)


def _packed(model: Model, plan: Plan | None) -> PackedModel:
    return serialize(model), plan


def _unpacked(packed: PackedModel) -> tuple[Model, Plan | None]:
    content, plan = packed
    return read_model(content), plan

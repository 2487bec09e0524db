"""Remedies for inputs whose columns have different units: one size in float, or pieces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tightfit.graph.signatures import input_names
from tightfit.recovery.slices.normalized_columns import normalize, poor_inputs, unheld_sentence
from tightfit.recovery.slices.remedy_state import AIM_DB, RemedyState
from tightfit.recovery.slices.slice_trials import SliceTrials
from tightfit.recovery.slices.split_input import split_inputs
from tightfit.streaming.columns import Columns

PIECES: Final = "taken in pieces, each an input with a scale of its own"
COLUMNS: Final = "brought to one size in float"
"""What the notes of the two remedies for columns of different units say."""

_STEPS: Final = {"int8": 255.0, "int16": 65535.0}


@dataclass(frozen=True)
class InputRemedies:
    """The remedies for the inputs of one model.

    Args:
        trials: on that model.
    """

    trials: SliceTrials

    def columns(self, state: RemedyState) -> RemedyState:
        """Return a state with a remedy for columns of an input that have different units."""
        poor = self.poor(state)
        if not poor:
            return state
        model, overrides, _ = normalize(state.original, poor)
        names = ", ".join(f"'{n}'" for n in poor)
        divided = self._pieces(state, poor)
        if divided is not state:
            return divided
        kept = self.trials.kept(state, model, overrides, f"columns of {names} {COLUMNS}")
        if kept is state:
            unheld = [unheld_sentence(name, columns.poor(self._steps)) for name, columns in poor.items()]
            self.trials.work.notes += [
                sentence for sentence in unheld if sentence not in self.trials.work.notes
            ]
        return kept

    def poor(self, state: RemedyState) -> dict[str, Columns]:
        """Return the inputs that the plan rounds though their columns have different units."""
        ends, keys = input_names(state.original), state.original.main.keys()
        poor = poor_inputs(state.original, [x for x, _ in self.trials.answered], self._steps)
        stored = state.plan.graphs[0].tensors
        return {n: columns for n, columns in poor.items() if stored.get(keys[ends[n]])}

    def _pieces(self, state: RemedyState, poor: Mapping[str, Columns]) -> RemedyState:
        """Inputs in pieces of one scale each, for a device that takes integers only."""
        if not self.trials.work.allowed.integers_only or self.trials.work.plan.scheme.interface == "float32":
            return state
        model, splits = split_inputs(state.original, poor, AIM_DB)
        if not splits:
            return state
        names = ", ".join(f"'{p.name}'" for pieces in splits.values() for p in pieces)
        return self.trials.kept(state, model, (), f"{PIECES}: {names}")

    @property
    def _steps(self) -> float:
        return _STEPS[self.trials.work.plan.scheme.activations or "int8"]

"""Remedies for outputs whose scale is too coarse: pieces, and float behind or before the last layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tightfit.errors import TightfitError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Tensor
from tightfit.graph.signatures import output_names
from tightfit.graph.split_outputs import whole_or_pieces
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.modes import Override
from tightfit.quantization.planning import make_plan
from tightfit.recovery.output_noise import outputs_of
from tightfit.recovery.slices.deepen import Deepening, layers_before
from tightfit.recovery.slices.divided_outputs import split_outputs
from tightfit.recovery.slices.offsets import correct_offsets
from tightfit.recovery.slices.remedy_state import AIM_DB, RemedyState
from tightfit.recovery.slices.slice_trials import SliceTrials
from tightfit.recovery.slices.standardize import HEADROOM, can_standardize, row_spans, standardize
from tightfit.recovery.slices.tails import ending_at, find_tail, move_to_end, overrides_of
from tightfit.types import Array

_SHARE: Final = 0.2
"""An output's own scale is to blame when its rounding makes this share of a poor slice's noise."""


@dataclass(frozen=True)
class OutputRemedies:
    """The remedies for the outputs of one model.

    Args:
        trials: on that model.
    """

    trials: SliceTrials

    def tails(self, state: RemedyState) -> RemedyState:
        """Return a state with remedies for outputs whose own scale is too coarse for some of their slices."""
        blamed = self._blamed(state)
        if not blamed:
            return state
        before = list(self.trials.work.notes)
        pieces = self._pieces(state, blamed)
        if pieces.worst_db >= AIM_DB:
            return pieces
        split, self.trials.work.notes = list(self.trials.work.notes), before
        floated = self._in_float(state, blamed)
        if floated is state or pieces.worst_db > floated.worst_db:
            self.trials.work.notes = split
            return pieces
        return floated

    def deepened(self, state: RemedyState) -> RemedyState:
        """Return a state where more layers before a tail leave int8, and biases take the mean error."""
        ends = output_names(state.original)
        poor = [o.name for o in state.found if o.own_db < AIM_DB]
        tail = find_tail(state.original.main, [t for name in poor for t in whole_or_pieces(ends, name)])
        heads = [t for t in tail.heads if can_standardize(t)]
        best = self._gained(state, state, heads) if heads else state
        for step in layers_before(state.original, tail, self._deepening()):
            if best.own_db >= self.trials.leaves_integers_db():
                break
            overrides = (*overrides_of(step.ops, step.scheme), *state.overrides)
            plan = make_plan(state.original, self.trials.work.plan.scheme, state.ranges, overrides=overrides)
            tried = replace(state, model=state.original, plan=plan, overrides=overrides, found=[])
            best = self._gained(best, tried, heads)
        return self.trials.chosen(state, best, "more layers before it and their mean error mended")

    def _pieces(self, state: RemedyState, blamed: Sequence[str]) -> RemedyState:
        """Outputs in pieces of one scale each, for a device that takes integers only."""
        if not self.trials.work.allowed.integers_only or self.trials.work.plan.scheme.interface == "float32":
            return state
        poor = {o.name: o.poor[0].axis for o in state.found if o.name in blamed and o.poor}
        axes = {n: a for n, axis in poor.items() for a in self.trials.slices.get(n, ()) if a.axis == axis}
        answers = {n: [y[n] for _, y in self.trials.answered] for n in axes}
        model, splits = split_outputs(state.original, axes, answers, AIM_DB)
        if not splits:
            return state
        names = ", ".join(f"'{p.name}'" for pieces in splits.values() for p in pieces)
        return self.trials.kept(
            state, model, (), f"given in pieces, each an output with a scale of its own: {names}"
        )

    def _in_float(self, state: RemedyState, blamed: Sequence[str]) -> RemedyState:
        """Outputs computed in float behind the last layers."""
        model, overrides, known = self._floated(state, blamed)
        if overrides and min(state.own_db, state.worst_db) >= self.trials.leaves_integers_db():
            return state
        names = ", ".join(f"'{n}'" for n in blamed)
        what = f"{names} computed in float behind the last layers"
        if not overrides:
            what = f"range of {names} with room for values that were not seen"
        return self.trials.kept(state, model, overrides, what, known)

    def _blamed(self, state: RemedyState) -> list[str]:
        """The outputs with a poor slice of its own unit, or whose own scale makes much of the noise."""
        keys, ends = state.original.main.keys(), output_names(state.original)
        blamed = []
        for output in state.found:
            tensor = ends.get(output.name)
            if tensor is None:
                continue
            if output.own_db < AIM_DB:
                blamed.append(output.name)
                continue
            stored = state.plan.graphs[0].tensors.get(keys[tensor], {})
            rounding = max((s.scale[0] for s in stored.values() if s.scale), default=0.0) ** 2 / 12
            if any(rounding > _SHARE * s.noise for s in output.poor):
                blamed.append(output.name)
        return blamed

    def _floated(
        self, state: RemedyState, blamed: Sequence[str]
    ) -> tuple[Model, tuple[Override, ...], dict[str, Range]]:
        """A copy whose rows have one size before the tails of some outputs, overrides, and ranges."""
        twin = copy_model(state.original)
        outputs = [output_names(twin)[n] for n in blamed]
        heads = [t for t in find_tail(twin.main, outputs).heads if can_standardize(t)]
        keys = twin.main.keys()
        # The scores of a decision need fine steps more than room: what is beyond them is decided anyway.
        room = HEADROOM if any(o.own_db < AIM_DB for o in state.found if o.name in blamed) else 0.0
        spans = self._spans(state, [keys[t] for t in heads], room)
        made = [standardize(twin.main, t, *span) for t, span in zip(heads, spans, strict=True)]
        tail = find_tail(twin.main, outputs)
        move_to_end(twin.main, tail)
        twin.main.validate()
        keys = twin.main.keys()
        known = {keys[tensor]: limits for tensor, limits in made} if room else {}
        return twin, overrides_of(tail.ops, "float"), known

    def _spans(self, state: RemedyState, keys: Sequence[str], room: float) -> list[tuple[Array, Array]]:
        if not keys:
            return []
        seen = list(outputs_of(ending_at(state.original, keys), self.trials.fitting()))
        return [row_spans([row[i] for row in seen], room) for i in range(len(keys))]

    def _gained(self, best: RemedyState, tried: RemedyState, heads: Sequence[Tensor]) -> RemedyState:
        """The better of two states, the second with its mean error mended; LiteRT may refuse that one."""
        try:
            made = self._corrected(tried, heads) if heads else self.trials.with_quality(tried)
        except TightfitError:
            return best
        return made if made.gains_over(best) else best

    def _deepening(self) -> Deepening:
        integers = self.trials.work.plan.scheme.activations
        return Deepening(
            self.trials.work.allowed.float_macs, self.trials.work.allowed.int16 and integers == "int8"
        )

    def _corrected(self, state: RemedyState, heads: Sequence[Tensor]) -> RemedyState:
        keys = state.original.main.keys()
        names = [keys[t] for t in heads]
        model = correct_offsets(state.original, state.plan, names, self.trials.fitting())
        return self.trials.with_quality(replace(state, model=model, found=[]))

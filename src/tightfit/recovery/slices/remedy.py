"""Tries remedies for outputs with poor slices, each measured on LiteRT; what helps stays.

A third of the samples judges: ranges, factors and biases come from the others, so that values beyond what
calibration saw count as they will count later. The file itself is then calibrated on all samples.

Nothing is tried where the slices are good, or where what spoils them is not a scale that they share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from tightfit.errors import TightfitError
from tightfit.evaluation.slices.model_slices import Answered, measure_file
from tightfit.evaluation.slices.quality import GOOD_DB, OutputQuality, unsure_db
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Tensor
from tightfit.graph.signatures import input_names, output_names
from tightfit.graph.split_outputs import whole_or_pieces
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.layouts import lay_out
from tightfit.quantization.modes import Override
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import check_overrides, make_plan
from tightfit.recovery.output_noise import outputs_of
from tightfit.recovery.slices.deepen import Deepening, layers_before
from tightfit.recovery.slices.divided_outputs import split_outputs
from tightfit.recovery.slices.joins import even_joins
from tightfit.recovery.slices.normalized_columns import normalize, poor_inputs, unheld_sentence
from tightfit.recovery.slices.offsets import correct_offsets
from tightfit.recovery.slices.remedy_state import AIM_DB, RemedyState
from tightfit.recovery.slices.split_input import split_inputs
from tightfit.recovery.slices.standardize import HEADROOM, can_standardize, row_spans, standardize
from tightfit.recovery.slices.tails import ending_at, find_tail, move_to_end, overrides_of
from tightfit.recovery.state import RecoveryState
from tightfit.streaming.columns import Columns
from tightfit.streaming.slice_axes import Slices
from tightfit.types import Array
from tightfit.units import format_count

FEWEST_TO_HOLD_OUT: Final = 24
"""Fewer samples fit and judge at once."""

PIECES: Final = "taken in pieces, each an input with a scale of its own"
COLUMNS: Final = "brought to one size in float"
"""What the notes of the two remedies for columns of different units say."""

_EVERY: Final = 3

FEWEST: Final = 8
"""Fewer samples say nothing sure about the spread of a slice."""

_SHARE: Final = 0.2
"""An output's own scale is to blame when its rounding makes this share of a poor slice's noise."""

_STEPS: Final = {"int8": 255.0, "int16": 65535.0}


@dataclass
class Remedies:
    """The remedies for one model.

    Args:
        work: what is to be mended, for the device that its ``allowed`` describes; its model, plan, ranges
            and overrides change where a remedy helps.
        answered: samples with the answers of the float model.
        slices: of its outputs.
    """

    work: RecoveryState
    answered: Sequence[Answered]
    slices: Slices

    def run(self, found: Sequence[OutputQuality]) -> list[OutputQuality]:
        """Mend what can be mended, and return the quality of the outputs after it.

        Args:
            found: the quality of the file that the work's plan gives.
        """
        start = self._state(list(found))
        if not self._can_judge or not start.is_poor:
            return start.found
        after = self._on_part(start, self._mended)
        if after is not start and len(self.answered) >= FEWEST_TO_HOLD_OUT:
            self.work.judged = tuple(after.found)
        return after.found

    def run_inputs(self) -> None:
        """Mend columns of inputs alone, before other steps are judged by outputs that do not see them."""
        if self._can_judge and self._poor_inputs(self._state([])):
            self._on_part(self._state([]), self._columns)

    @property
    def _can_judge(self) -> bool:
        return len(self.answered) >= FEWEST and self.work.plan.scheme.activations is not None

    def _on_part(self, start: RemedyState, remedy: Callable[[RemedyState], RemedyState]) -> RemedyState:
        """What a remedy makes of a state, fitted and judged on samples of their own, then made with all."""
        whole = self.work.samples
        self.work.samples = lambda: iter(self._fitting())
        try:
            before = self._judged(start)
            after = remedy(before)
        finally:
            self.work.samples = whole
        if after is before:
            self._put_back(start)
            return start
        self._put_back(after)
        self.work.adopt(after.original)
        self.work.model = after.model
        return after

    def _mended(self, state: RemedyState) -> RemedyState:
        for remedy in (self._columns, self._joins, self._tails):
            if state.is_poor:
                state = remedy(state)
        return self._deepened(state) if state.own_db < AIM_DB else state

    # -- samples ---------------------------------------------------------------------------------

    def _fitting(self) -> list[dict[str, Array]]:
        """The samples that ranges, factors and biases come from."""
        held_out = len(self.answered) >= FEWEST_TO_HOLD_OUT
        return [dict(x) for i, (x, _) in enumerate(self.answered) if i % _EVERY or not held_out]

    def _judging(self) -> Sequence[Answered]:
        return self.answered[::_EVERY] if len(self.answered) >= FEWEST_TO_HOLD_OUT else self.answered

    def _judged(self, start: RemedyState) -> RemedyState:
        """The state as it is without the samples that judge."""
        self.work.adopt(start.original)
        self.work.model = start.model
        return self._with_quality(self._state([]))

    # -- remedies --------------------------------------------------------------------------------

    def _columns(self, state: RemedyState) -> RemedyState:
        """Columns of an input that have different units."""
        poor = self._poor_inputs(state)
        if not poor:
            return state
        model, overrides, _ = normalize(state.original, poor)
        names = ", ".join(f"'{n}'" for n in poor)
        divided = self._input_pieces(state, poor)
        if divided is not state:
            return divided
        kept = self._kept(state, model, overrides, f"columns of {names} {COLUMNS}")
        if kept is state:
            unheld = [unheld_sentence(name, columns.poor(self._steps)) for name, columns in poor.items()]
            self.work.notes += [sentence for sentence in unheld if sentence not in self.work.notes]
        return kept

    @property
    def _steps(self) -> float:
        return _STEPS[self.work.plan.scheme.activations or "int8"]

    def _poor_inputs(self, state: RemedyState) -> dict[str, Columns]:
        """The inputs that the plan rounds though their columns have different units."""
        ends, keys = input_names(state.original), state.original.main.keys()
        poor = poor_inputs(state.original, [x for x, _ in self.answered], self._steps)
        stored = state.plan.graphs[0].tensors
        return {n: columns for n, columns in poor.items() if stored.get(keys[ends[n]])}

    def _input_pieces(self, state: RemedyState, poor: Mapping[str, Columns]) -> RemedyState:
        """Inputs in pieces of one scale each, for a device that takes integers only."""
        if not self.work.allowed.integers_only or self.work.plan.scheme.interface == "float32":
            return state
        model, splits = split_inputs(state.original, poor, AIM_DB)
        if not splits:
            return state
        names = ", ".join(f"'{p.name}'" for pieces in splits.values() for p in pieces)
        return self._kept(state, model, (), f"{PIECES}: {names}")

    def _joins(self, state: RemedyState) -> RemedyState:
        """Parts of different size joined inside of the model."""
        model, overrides, count = even_joins(state.original, state.ranges)
        if not count:
            return state
        return self._kept(
            state, model, overrides, f"{format_count(count, 'join')} of parts of different size evened"
        )

    def _tails(self, state: RemedyState) -> RemedyState:
        """Outputs whose own scale is too coarse for some of their slices."""
        blamed = self._blamed(state)
        if not blamed:
            return state
        before = list(self.work.notes)
        pieces = self._pieces(state, blamed)
        if pieces.worst_db >= AIM_DB:
            return pieces
        split, self.work.notes = list(self.work.notes), before
        floated = self._in_float(state, blamed)
        if floated is state or pieces.worst_db > floated.worst_db:
            self.work.notes = split
            return pieces
        return floated

    def _pieces(self, state: RemedyState, blamed: Sequence[str]) -> RemedyState:
        """Outputs in pieces of one scale each, for a device that takes integers only."""
        if not self.work.allowed.integers_only or self.work.plan.scheme.interface == "float32":
            return state
        poor = {o.name: o.poor[0].axis for o in state.found if o.name in blamed and o.poor}
        axes = {n: a for n, axis in poor.items() for a in self.slices.get(n, ()) if a.axis == axis}
        answers = {n: [y[n] for _, y in self.answered] for n in axes}
        model, splits = split_outputs(state.original, axes, answers, AIM_DB)
        if not splits:
            return state
        names = ", ".join(f"'{p.name}'" for pieces in splits.values() for p in pieces)
        return self._kept(
            state, model, (), f"given in pieces, each an output with a scale of its own: {names}"
        )

    def _in_float(self, state: RemedyState, blamed: Sequence[str]) -> RemedyState:
        """Outputs computed in float behind the last layers."""
        model, overrides, known = self._floated(state, blamed)
        if overrides and min(state.own_db, state.worst_db) >= self._leaves_integers_db():
            return state
        names = ", ".join(f"'{n}'" for n in blamed)
        what = f"{names} computed in float behind the last layers"
        if not overrides:
            what = f"range of {names} with room for values that were not seen"
        return self._kept(state, model, overrides, what, known)

    def _deepened(self, state: RemedyState) -> RemedyState:
        """More layers in front of a tail leave int8, and the mean error goes into the last biases."""
        ends = output_names(state.original)
        poor = [o.name for o in state.found if o.own_db < AIM_DB]
        tail = find_tail(state.original.main, [t for name in poor for t in whole_or_pieces(ends, name)])
        heads = [t for t in tail.heads if can_standardize(t)]
        best = self._gained(state, state, heads) if heads else state
        for step in layers_before(state.original, tail, self._deepening()):
            if best.own_db >= self._leaves_integers_db():
                break
            overrides = (*overrides_of(step.ops, step.scheme), *state.overrides)
            plan = make_plan(state.original, self.work.plan.scheme, state.ranges, overrides=overrides)
            tried = replace(state, model=state.original, plan=plan, overrides=overrides, found=[])
            best = self._gained(best, tried, heads)
        return self._chosen(state, best, "more layers before it and their mean error mended")

    def _leaves_integers_db(self) -> float:
        """The ratio below which ops become float; integers that were asked for stay while it is surely good.

        So much worse as chance allows (``unsure_db``) it must still be ``GOOD_DB``.
        """
        asked = self.work.allowed.integers_only or self.work.plan.scheme.interface != "float32"
        return min(GOOD_DB + unsure_db(len(self._judging())), AIM_DB) if asked else AIM_DB

    def _gained(self, best: RemedyState, tried: RemedyState, heads: Sequence[Tensor]) -> RemedyState:
        """The better of two states, the second with its mean error mended; LiteRT may refuse that one."""
        try:
            made = self._corrected(tried, heads) if heads else self._with_quality(tried)
        except TightfitError:
            return best
        return made if made.gains_over(best) else best

    def _deepening(self) -> Deepening:
        integers = self.work.plan.scheme.activations
        return Deepening(self.work.allowed.float_macs, self.work.allowed.int16 and integers == "int8")

    def _corrected(self, state: RemedyState, heads: Sequence[Tensor]) -> RemedyState:
        keys = state.original.main.keys()
        names = [keys[t] for t in heads]
        model = correct_offsets(state.original, state.plan, names, self._fitting())
        return self._with_quality(replace(state, model=model, found=[]))

    # -- trials ----------------------------------------------------------------------------------

    def _state(self, found: list[OutputQuality]) -> RemedyState:
        work = self.work
        return RemedyState(
            work.original,
            work.model,
            work.plan,
            work.ranges,
            check_overrides(work.original, work.overrides),
            found,
            work.known,
        )

    def _kept(
        self,
        state: RemedyState,
        model: Model,
        overrides: Sequence[Override],
        what: str,
        known: Mapping[str, Range] = MappingProxyType({}),
    ) -> RemedyState:
        """The state after a remedy where it helps, else the one before."""
        self._put_back(state)
        self.work.overrides = (*overrides, *state.overrides)
        self.work.known = {**state.known, **known}
        try:
            self.work.adopt(model)
            tried = self._with_quality(self._state([]))
        except TightfitError as error:
            self._put_back(state)
            self.work.notes.append(f"{what}: given up, as {error}")
            return state
        return self._chosen(state, tried, what)

    def _chosen(self, before: RemedyState, after: RemedyState, what: str) -> RemedyState:
        if not after.gains_over(before):
            return before
        gain = after.gain(before)
        if not self.work.allowed.accepts(apply_plan(after.model, after.plan)):
            refused = f"{what}: given up, as the target does not take it ({gain})"
            self.work.notes += [refused] if refused not in self.work.notes else []
            return before
        self.work.notes.append(f"{what}: {gain}")
        return after

    def _put_back(self, state: RemedyState) -> None:
        work = self.work
        work.original, work.model, work.plan = state.original, state.model, state.plan
        work.ranges, work.overrides, work.known = state.ranges, state.overrides, state.known

    def _with_quality(self, state: RemedyState) -> RemedyState:
        state.found = self.measured(state.model, state.plan)
        return state

    def measured(self, model: Model, plan: Plan) -> list[OutputQuality]:
        """Return the quality of each output of the quantized model on LiteRT.

        Raises:
            TightfitError: LiteRT does not run it.
        """
        made = apply_plan(model, plan)
        lay_out(made, ("float_islands", "bridge_through_float"))
        return measure_file(bytes(serialize(made)), model, self._judging(), self.slices)

    # -- tails -----------------------------------------------------------------------------------

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
        seen = list(outputs_of(ending_at(state.original, keys), self._fitting()))
        return [row_spans([row[i] for row in seen], room) for i in range(len(keys))]


def mend(
    work: RecoveryState,
    answered: Sequence[Answered],
    slices: Slices,
    found: Sequence[OutputQuality] | None = None,
) -> list[OutputQuality]:
    """Mend the outputs of a work whose slices are poor; see ``Remedies``.

    Args:
        work: what is to be mended; it changes where a remedy helps.
        answered: samples with the answers of the float model.
        slices: of its outputs.
        found: the quality of the file that the work's plan gives, None to measure it.
    """
    remedies = Remedies(work, answered, slices)
    return remedies.run(remedies.measured(work.model, work.plan) if found is None else found)


def mend_inputs(work: RecoveryState, answered: Sequence[Answered], slices: Slices) -> None:
    """Bring the columns of inputs to one size where one integer scale rounds them away.

    Args:
        work: what is to be mended; it changes where the remedy helps.
        answered: samples with the answers of the float model.
        slices: of its outputs.
    """
    Remedies(work, answered, slices).run_inputs()

"""Tries remedies on a model, each measured on LiteRT; what helps stays.

A third of the samples judges: ranges, factors and biases come from the others, so that values beyond what
calibration saw count as they will count later. The file itself is then calibrated on all samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tightfit.errors import TightfitError
from tightfit.evaluation.slices.model_slices import Answered, measure_file
from tightfit.evaluation.slices.output_quality import GOOD_DB, OutputQuality
from tightfit.evaluation.slices.quality import unsure_db
from tightfit.graph.ir import Model
from tightfit.graph.signatures import keeps_state
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.layouts import lay_out
from tightfit.quantization.modes import Override
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import check_overrides
from tightfit.recovery.slices.remedy_state import AIM_DB, RemedyState
from tightfit.recovery.state import RecoveryState
from tightfit.streaming.slice_axes import Slices
from tightfit.types import Array

FEWEST_TO_HOLD_OUT: Final = 32
"""Fewer samples fit and judge at once: a third of them would say little about the spread of a slice."""

FEWEST: Final = 8
"""Fewer samples say nothing sure about the spread of a slice."""

_EVERY: Final = 3


@dataclass
class SliceTrials:
    """The trials on one model.

    Args:
        work: what is to be mended, for the device that its ``allowed`` describes; its model, plan, ranges
            and overrides change where a remedy helps.
        answered: samples with the answers of the float model.
        slices: of its outputs.
        together: True lets all samples fit and judge, where those that would judge show no poor slice.
    """

    work: RecoveryState
    answered: Sequence[Answered]
    slices: Slices
    together: bool = False

    @property
    def can_judge(self) -> bool:
        """Whether there are samples enough, and integers that share scales."""
        return len(self.answered) >= FEWEST and self.work.plan.scheme.activations is not None

    @property
    def holds_out(self) -> bool:
        """Whether other samples judge than fit; of a model with state each sample follows the one before."""
        enough = len(self.answered) >= FEWEST_TO_HOLD_OUT
        return enough and not self.together and not keeps_state(self.work.original)

    def fitting(self) -> list[dict[str, Array]]:
        """Return the samples that ranges, factors and biases come from."""
        return [dict(x) for i, (x, _) in enumerate(self.answered) if i % _EVERY or not self.holds_out]

    def judging(self) -> Sequence[Answered]:
        """Return the samples that the outputs are measured on, with their answers."""
        return self.answered[::_EVERY] if self.holds_out else self.answered

    def leaves_integers_db(self) -> float:
        """Return the ratio below which ops become float; integers that were asked for stay while surely good.

        So much worse as chance allows (``unsure_db``) it must still be ``GOOD_DB``.
        """
        asked = self.work.allowed.integers_only or self.work.plan.scheme.interface != "float32"
        return min(GOOD_DB + unsure_db(len(self.judging())), AIM_DB) if asked else AIM_DB

    def state(self, found: list[OutputQuality]) -> RemedyState:
        """Return the state of the work with the quality of its outputs; none is an empty list."""
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

    def on_part(self, start: RemedyState, remedy: Callable[[RemedyState], RemedyState]) -> RemedyState:
        """Return what a remedy makes of a state, fitted and judged on separate samples, then on all."""
        whole = self.work.samples
        self.work.samples = lambda: iter(self.fitting())
        try:
            before = self.judged(start)
            if start.is_poor and not before.is_poor and self.holds_out:
                self.together = True
                before = self.judged(start)
            after = remedy(before)
        finally:
            self.work.samples = whole
        if after is before:
            self.put_back(start)
            return start
        self.put_back(after)
        self.work.adopt(after.original)
        self.work.model = after.model
        return after

    def judged(self, start: RemedyState) -> RemedyState:
        """Return the state as it is without the samples that judge."""
        self.work.adopt(start.original)
        self.work.model = start.model
        return self.with_quality(self.state([]))

    def kept(
        self,
        state: RemedyState,
        model: Model,
        overrides: Sequence[Override],
        what: str,
        known: Mapping[str, Range] = MappingProxyType({}),
    ) -> RemedyState:
        """Return the state after a remedy where it helps, else the one before."""
        self.put_back(state)
        self.work.overrides = (*overrides, *state.overrides)
        self.work.known = {**state.known, **known}
        try:
            self.work.adopt(model)
            tried = self.with_quality(self.state([]))
        except TightfitError as error:
            self.put_back(state)
            self.work.notes.append(f"{what}: given up, as {error}")
            return state
        return self.chosen(state, tried, what)

    def chosen(self, before: RemedyState, after: RemedyState, what: str) -> RemedyState:
        """Return the later of two states where it is better and the target takes it; the notes say which."""
        if not after.gains_over(before):
            return before
        gain = after.gain(before)
        if not self.work.allowed.accepts(apply_plan(after.model, after.plan)):
            refused = f"{what}: given up, as the target does not take it ({gain})"
            self.work.notes += [refused] if refused not in self.work.notes else []
            return before
        self.work.notes.append(f"{what}: {gain}")
        return after

    def put_back(self, state: RemedyState) -> None:
        """Give the work a state again."""
        work = self.work
        work.original, work.model, work.plan = state.original, state.model, state.plan
        work.ranges, work.overrides, work.known = state.ranges, state.overrides, state.known

    def with_quality(self, state: RemedyState) -> RemedyState:
        """Return the state with the quality of its outputs measured."""
        state.found = self.measured(state.model, state.plan)
        return state

    def measured(self, model: Model, plan: Plan) -> list[OutputQuality]:
        """Return the quality of each output of the quantized model on LiteRT.

        Raises:
            TightfitError: LiteRT does not run it.
        """
        made = apply_plan(model, plan)
        lay_out(made, ("float_islands", "bridge_through_float"))
        return measure_file(bytes(serialize(made)), model, self.judging(), self.slices)

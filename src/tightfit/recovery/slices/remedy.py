"""Mends outputs with poor slices: inputs first, then joins inside of the model, then the outputs themselves.

Nothing is tried where the slices are good, or where what spoils them is not a scale that they share.
"""

from __future__ import annotations

from collections.abc import Sequence

from tightfit.evaluation.slices.model_slices import Answered
from tightfit.evaluation.slices.output_quality import OutputQuality
from tightfit.recovery.slices.input_remedies import InputRemedies
from tightfit.recovery.slices.joins import even_joins
from tightfit.recovery.slices.output_remedies import OutputRemedies
from tightfit.recovery.slices.remedy_state import AIM_DB, RemedyState
from tightfit.recovery.slices.slice_trials import SliceTrials
from tightfit.recovery.state import RecoveryState
from tightfit.streaming.slice_axes import Slices
from tightfit.units import format_count


def mend(
    work: RecoveryState,
    answered: Sequence[Answered],
    slices: Slices,
    found: Sequence[OutputQuality] | None = None,
) -> list[OutputQuality]:
    """Mend the outputs of a work whose slices are poor, and return their quality.

    Args:
        work: what is to be mended; it changes where a remedy helps, and ``judged`` says what the samples that
            fitted nothing saw.
        answered: samples with the answers of the float model.
        slices: of its outputs.
        found: the quality of the file that the work's plan gives, None to measure it.
    """
    trials = SliceTrials(work, answered, slices)
    start = trials.state(list(trials.measured(work.model, work.plan) if found is None else found))
    if not trials.can_judge or not start.is_poor:
        return start.found
    after = trials.on_part(start, lambda state: _mended(trials, state))
    if after is not start and trials.holds_out:
        work.judged = tuple(after.found)
    return after.found


def mend_inputs(work: RecoveryState, answered: Sequence[Answered], slices: Slices) -> None:
    """Bring the columns of inputs to one size where one integer scale rounds them away.

    Other steps are judged by outputs, which do not see such columns.

    Args:
        work: what is to be mended; it changes where the remedy helps.
        answered: samples with the answers of the float model.
        slices: of its outputs.
    """
    trials = SliceTrials(work, answered, slices)
    inputs, start = InputRemedies(trials), trials.state([])
    if trials.can_judge and inputs.poor(start):
        trials.on_part(start, inputs.columns)


def _mended(trials: SliceTrials, state: RemedyState) -> RemedyState:
    outputs = OutputRemedies(trials)
    for remedy in (InputRemedies(trials).columns, lambda s: _joins(trials, s), outputs.tails):
        if state.is_poor:
            state = remedy(state)
    return outputs.deepened(state) if state.own_db < AIM_DB else state


def _joins(trials: SliceTrials, state: RemedyState) -> RemedyState:
    """Parts of different size joined inside of the model."""
    model, overrides, count = even_joins(state.original, state.ranges)
    if not count:
        return state
    what = f"{format_count(count, 'join')} of parts of different size evened"
    return trials.kept(state, model, overrides, what)

"""The recoveries of activations: attention-mask clipping, smoothing, range search, mixed activations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tightfit.errors import DataError, TightfitError
from tightfit.graph.ir import Model, Op
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.layouts import lay_out
from tightfit.quantization.modes import Override
from tightfit.quantization.ops.data_movement import moves_data, source_tensor
from tightfit.quantization.ops.rule_lookup import TABLES, refusal_reason
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import make_plan
from tightfit.recovery.activations.activation_noise import NoiseOf, measure_activations
from tightfit.recovery.activations.attention_masks import shrink_masks
from tightfit.recovery.activations.mixed_activations import Widened, choose_wider, op_costs
from tightfit.recovery.activations.range_search import choose_observers, chosen_ranges
from tightfit.recovery.activations.smoothing import smooth
from tightfit.recovery.activations.switchable_rounding import SwitchableRounding
from tightfit.recovery.output_noise import noise_share, outputs_of, sample_noise
from tightfit.recovery.slice_noise import SliceNoise
from tightfit.recovery.state import RecoveryState
from tightfit.types import Array
from tightfit.units import format_count, format_percent

NOISE_SAMPLES: Final = 6
CHECK_SAMPLES: Final = 18
EQUAL: Final = 1e-6
"""A changed float model whose outputs differ by more than this fraction of their power is discarded."""

ATTEMPTS: Final = 4
"""Most times that the allowed noise is reduced when the file has more noise than predicted."""

_TOTAL: Final = "the outputs' noise {} of their power"
_WORST: Final = "the noise of the worst slice {} of its own spread"
_SLICE_GAIN: Final = 0.5
_WIDER: Final = "int16x8"
_UNPACKED: Final = "weight8"


def masks(state: RecoveryState) -> None:
    """Clip attention masks to the range that their SOFTMAX needs (``attention_masks.shrink_masks``)."""
    integers = state.plan.scheme.activations is not None
    model, masked = shrink_masks(state.original, state.ranges) if integers else (state.original, {})
    if not masked:
        return
    if not _equal(state, model):
        state.notes.append("attention masks were not clipped: clipping changes the float model's outputs")
        return
    state.known.update(masked)
    state.adopt(model)
    state.notes.append(
        f"attention masks clipped to the range of the scores ({format_count(len(masked), 'mask')})"
    )


def smoothing(state: RecoveryState) -> None:
    """Move large channels of a normalization into the following weights (``smoothing.smooth``)."""
    report, count = state.stage_progress("channel ranges of normalizations"), itertools.count(1)
    model, moved = smooth(
        state.original,
        state.plan.graphs[0].ops,
        state.samples(),
        progress=lambda: report(next(count), 0),
    )
    if not moved:
        return
    samples = few_samples(state, NOISE_SAMPLES)
    wanted = list(outputs_of(state.original, samples))
    if noise_share(wanted, list(outputs_of(model, samples))) > EQUAL:
        state.notes.append("smoothing was discarded: it changes the float model's outputs")
        return
    what = f"large channels of {format_count(len(moved), 'normalization')} moved into the following weights"
    adopt_if_better(state, model, samples, what)


def adopt_if_better(state: RecoveryState, model: Model, samples: list[dict[str, Array]], what: str) -> None:
    """Adopt a changed float model if the outputs' noise on LiteRT falls.

    Args:
        state: the state to change; a note records the noise before and after.
        model: the changed float model.
        samples: inputs by name, kept in memory.
        what: the change in words, for the note.
    """
    wanted = list(outputs_of(state.original, samples))
    before, kept = measured_noise(state, state.plan, wanted, samples), replace(state)
    state.adopt(model)
    after = measured_noise(state, state.plan, wanted, samples)
    if after >= before:
        state.original, state.model, state.plan = kept.original, kept.model, kept.plan
        state.ranges, state.moments = kept.ranges, kept.moments
        state.notes.append(f"{what}: given up, as it gains nothing here ({_fall(before, after)} noise)")
        return
    state.notes.append(f"{what}: noise {_fall(before, after)} of the outputs' power")


def activation_ranges(state: RecoveryState) -> None:
    """Set each activation's range to the one with least output noise (``range_search``), if that gains."""
    if state.plan.scheme.activations != "int8":
        return
    samples = few_samples(state, NOISE_SAMPLES)
    report = state.stage_progress("ranges of the activations")
    found = choose_observers(
        state.original, state.plan, state.ranges, samples, overrides=state.overrides, progress=report
    )
    chosen = chosen_ranges(state.original, state.ranges, found, "int8")
    chosen = {key: limits for key, limits in chosen.items() if key not in state.known}
    if not chosen:
        return
    ranges = Ranges(state.ranges.statistics, state.ranges.observers)
    for key, limits in (chosen | state.known).items():
        ranges.set(0, key, "int8", limits)
    plan = make_plan(state.original, state.plan.scheme, ranges, overrides=state.overrides)
    wanted = list(outputs_of(state.original, samples))
    before = measured_noise(state, state.plan, wanted, samples)
    after = measured_noise(state, plan, wanted, samples)
    what = f"range of {format_count(len(chosen), 'activation')} clipped for the least output noise"
    if after >= before:
        state.notes.append(f"{what}: given up, as it gains nothing here ({_fall(before, after)} noise)")
        return
    state.ranges, state.plan = ranges, plan
    state.known |= chosen
    state.notes.append(f"{what}: noise {_fall(before, after)} of the outputs' power")


def mixed_activations(state: RecoveryState) -> None:
    """Compute the ops whose int8 activations add the most noise in int16 or float.

    An op without an int16 kernel computes in float. The noise of the planned file is measured on LiteRT;
    while it is above ``state.noise``, more ops are widened: first by the noise of all outputs together, then
    by that of the worst slice (``slice_noise``), as long as this becomes half of what it was.
    """
    if state.plan.scheme.activations != "int8":
        return
    check = SliceNoise(state.original, few_samples(state, CHECK_SAMPLES))
    for measure, least, what in ((sample_noise, 1.0, _TOTAL), (check.between, _SLICE_GAIN, _WORST)):
        before = _file_noise(state, state.plan, check, measure)
        if before <= state.noise:
            continue
        best = _widened(state, check, measure)
        if best is not None and (best.noise <= state.noise or best.noise < least * before):
            state.plan, state.overrides = best.plan, (*best.overrides, *state.overrides)
            state.notes.append(_sentence(state.original, best, before, what))


@dataclass(frozen=True)
class _Choice:
    widened: Widened
    plan: Plan
    overrides: tuple[Override, ...]
    noise: float


def _widened(state: RecoveryState, check: SliceNoise, measure: NoiseOf) -> _Choice | None:
    """The widening with the least noise of those that were tried, the first that is allowed; None without."""
    gates = SwitchableRounding(state.original, state.plan, outputs=True)
    some = check.samples[:: max(1, len(check.samples) // NOISE_SAMPLES)]
    report = state.stage_progress("noise of int8 activations")
    edges = measure_activations(gates, some, state.noise, noise_of=measure, progress=report)
    costs, allowed, best = op_costs(state.original.main), state.noise, None
    for _ in range(ATTEMPTS):
        widened = choose_wider(edges, costs, allowed)
        plan, overrides = widened_plan(state, widened, _scheme_of)
        found = _file_noise(state, plan, check, measure)
        if best is None or found < best.noise:
            best = _Choice(widened, plan, overrides, found)
        if found <= state.noise:
            break
        allowed *= 0.5 * min(1.0, state.noise / found)
    return best


def few_samples(state: RecoveryState, count: int) -> list[dict[str, Array]]:
    """Return ``count`` calibration samples, spread evenly over all.

    Raises:
        DataError: there is no sample.
    """
    kept: list[dict[str, Array]] = []
    step = 1
    for i, sample in enumerate(state.samples()):
        if i % step == 0:
            kept.append({k: np.array(v) for k, v in sample.items()})
        if len(kept) == 2 * count:
            # Every second one is dropped, so that the rest is spread evenly over all read so far.
            kept, step = kept[::2], 2 * step
    if not kept:
        raise DataError("There is no calibration sample; give at least one, better 100.")
    return kept[:count] if len(kept) <= count else [kept[i * len(kept) // count] for i in range(count)]


def _equal(state: RecoveryState, model: Model) -> bool:
    """True when a changed float model has the outputs of the original, up to ``EQUAL``."""
    samples = few_samples(state, NOISE_SAMPLES)
    before, after = outputs_of(state.original, samples), outputs_of(model, samples)
    return noise_share(list(before), list(after)) <= EQUAL


def measured_noise(
    state: RecoveryState, plan: Plan, wanted: list[list[Array]], samples: list[dict[str, Array]]
) -> float:
    """Return the noise of a plan's file on LiteRT as a fraction of the outputs' power.

    Args:
        state: the model.
        plan: the plan of the file.
        wanted: the float model's outputs of each sample.
        samples: inputs by name.

    Returns:
        The noise; infinite where LiteRT cannot run the file.
    """
    try:
        return noise_share(wanted, list(outputs_of(_file(state.original, plan), samples)))
    except TightfitError:
        return float("inf")


def _file_noise(state: RecoveryState, plan: Plan, check: SliceNoise, measure: NoiseOf) -> float:
    """The noise of a plan's file on LiteRT; infinite where none runs."""
    try:
        return measure(check.wanted, check.answers(_file(state.original, plan)))
    except TightfitError:
        return float("inf")


def _file(model: Model, plan: Plan) -> Model:
    """The quantized model in the form that LiteRT runs fastest on this machine."""
    made = apply_plan(model, plan)
    lay_out(made, ("float_islands", "bridge_through_float"))
    return made


def widened_plan(
    state: RecoveryState, widened: Widened, scheme_of: Callable[[Op], str]
) -> tuple[Plan, tuple[Override, ...]]:
    """Return the plan in which some ops are computed by other schemes, and the overrides that say so.

    Args:
        state: its model, scheme, ranges and overrides.
        widened: the ops; those that only move the results of one go along with it.
        scheme_of: op → the name of its scheme.
    """
    names = set(widened.ops)
    reason = "its int8 activations add much noise to the outputs"
    overrides = []
    for op in state.original.main.ops:
        decider = source_tensor(op.outputs[0]).producer if moves_data(op) else op
        if decider is not None and decider.name in names:
            overrides.append(Override(op.name, scheme_of(decider), reason))
    chosen = tuple(overrides)
    plan = make_plan(state.original, state.plan.scheme, state.ranges, overrides=(*chosen, *state.overrides))
    return plan, chosen


def _scheme_of(op: Op) -> str:
    """The wider scheme of an op: int16, or float without an int16 kernel or where a table would double."""
    return _UNPACKED if op.kind in TABLES or refusal_reason(op, "int16") else _WIDER


def _sentence(model: Model, choice: _Choice, before: float, what: str) -> str:
    costs = op_costs(model.main)
    share = sum(costs.get(o, 0.0) for o in choice.widened.ops)
    fall = f"falls from {format_percent(before, 2)} to {format_percent(choice.noise, 2)}"
    return (
        f"{len(choice.widened.ops)} ops with {format_percent(share, 0)} of the multiply–accumulates use "
        f"wider activations than int8: {what.format(fall)}"
    )


__all__ = ["activation_ranges", "few_samples", "masks", "measured_noise", "mixed_activations", "smoothing"]


def _fall(before: float, after: float) -> str:
    return f"{format_percent(before, 2)} → {format_percent(after, 2)}"

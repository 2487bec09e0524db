"""The recoveries of activations as steps: smaller masks, smoothed channels, ops wider than int8."""

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
from tightfit.recovery.activations.activation_noise import measure_activations
from tightfit.recovery.activations.attention_masks import shrink_masks
from tightfit.recovery.activations.mixed_activations import Widened, choose_wider, op_costs
from tightfit.recovery.activations.range_search import choose_observers, chosen_ranges
from tightfit.recovery.activations.smoothing import smooth
from tightfit.recovery.activations.switchable_rounding import SwitchableRounding
from tightfit.recovery.output_noise import noise_share, outputs_of, sample_noise
from tightfit.recovery.state import RecoveryState
from tightfit.types import Array
from tightfit.units import format_count

NOISE_SAMPLES: Final = 6
CHECK_SAMPLES: Final = 18
EQUAL: Final = 1e-6
"""A changed float model whose outputs differ by more than this share of their power is given up."""

ATTEMPTS: Final = 4
"""How often the allowed noise is tightened when the file has more than was predicted."""

_WIDER: Final = "int16x8"
_UNPACKED: Final = "weight8"


def masks(work: RecoveryState) -> None:
    """Makes attention masks no larger than their SOFTMAX needs (``masks.shrink_masks``)."""
    integers = work.plan.scheme.activations is not None
    model, masked = shrink_masks(work.original, work.ranges) if integers else (work.original, {})
    if not masked:
        return
    if not _equal(work, model):
        work.notes.append("attention masks were kept: smaller ones change the float model's answers")
        return
    work.known.update(masked)
    work.adopt(model)
    work.notes.append(f"masks of {len(masked)} attentions made as small as their scores need")


def smoothing(work: RecoveryState) -> None:
    """Moves loud channels behind a normalization into the next weights (``smoothing.smooth``)."""
    report, count = work.tell("channels of the normalizations"), itertools.count(1)
    model, moved = smooth(
        work.original,
        work.plan.graphs[0].ops,
        work.samples(),
        progress=lambda: report(next(count), 0),
    )
    if not moved:
        return
    samples = few_samples(work, NOISE_SAMPLES)
    wanted = list(outputs_of(work.original, samples))
    if noise_share(wanted, list(outputs_of(model, samples))) > EQUAL:
        work.notes.append("smoothing was given up: it changes the float model's answers")
        return
    what = f"loud channels of {len(moved)} normalizations moved into the weights behind them"
    adopt_if_better(work, model, samples, what)


def adopt_if_better(work: RecoveryState, model: Model, samples: list[dict[str, Array]], what: str) -> None:
    """Goes on with a changed float model if the outputs' noise on LiteRT falls; the notes say ``what``."""
    wanted = list(outputs_of(work.original, samples))
    before, kept = measured_noise(work, work.plan, wanted, samples), replace(work)
    work.adopt(model)
    after = measured_noise(work, work.plan, wanted, samples)
    if after >= before:
        work.original, work.model, work.plan = kept.original, kept.model, kept.plan
        work.ranges, work.moments = kept.ranges, kept.moments
        work.notes.append(f"{what}: given up, as it gains nothing here ({before:.2%} → {after:.2%} noise)")
        return
    work.notes.append(f"{what}: noise {before:.2%} → {after:.2%} of the outputs' power")


def activation_ranges(work: RecoveryState) -> None:
    """Takes for each activation the range that disturbs the outputs least (``range_choice``), if all gain."""
    if work.plan.scheme.activations != "int8":
        return
    samples = few_samples(work, NOISE_SAMPLES)
    report = work.tell("ranges of the activations")
    found = choose_observers(
        work.original, work.plan, work.ranges, samples, overrides=work.overrides, progress=report
    )
    chosen = chosen_ranges(work.original, work.ranges, found, "int8")
    chosen = {key: limits for key, limits in chosen.items() if key not in work.known}
    if not chosen:
        return
    ranges = Ranges(work.ranges.statistics, work.ranges.observers)
    for key, limits in (chosen | work.known).items():
        ranges.set(0, key, "int8", limits)
    plan = make_plan(work.original, work.plan.scheme, ranges, overrides=work.overrides)
    wanted = list(outputs_of(work.original, samples))
    before = measured_noise(work, work.plan, wanted, samples)
    after = measured_noise(work, plan, wanted, samples)
    what = f"ranges of {format_count(len(chosen), 'activation')} cut where the outputs want it"
    if after >= before:
        work.notes.append(f"{what}: given up, as it gains nothing here ({before:.2%} → {after:.2%} noise)")
        return
    work.ranges, work.plan = ranges, plan
    work.known |= chosen
    work.notes.append(f"{what}: noise {before:.2%} → {after:.2%} of the outputs' power")


def mixed_activations(work: RecoveryState) -> None:
    """Computes the ops whose int8 activations cost most in int16, or float where int16 has no kernel.

    The noise of the written plan is measured on LiteRT; where it is above ``work.noise``, more ops are
    widened.
    """
    if work.plan.scheme.activations != "int8":
        return
    samples = few_samples(work, CHECK_SAMPLES)
    wanted = list(outputs_of(work.original, samples))
    before = found = _sample_noise(work, work.plan, wanted, samples)
    allowed = work.noise
    if found <= work.noise:
        return
    gates, some = (
        SwitchableRounding(work.original, work.plan),
        samples[:: max(1, len(samples) // NOISE_SAMPLES)],
    )
    edges = measure_activations(gates, some, work.noise, progress=work.tell("noise of int8 activations"))
    costs = op_costs(work.original.main)
    best: _Choice | None = None
    for _ in range(ATTEMPTS):
        widened = choose_wider(edges, costs, allowed)
        plan, overrides = widened_plan(work, widened, _scheme_of)
        found = _sample_noise(work, plan, wanted, samples)
        if best is None or found < best.noise:
            best = _Choice(widened, plan, overrides, found)
        if found <= work.noise:
            break
        allowed *= 0.5 * min(1.0, work.noise / found)
    assert best is not None  # noqa: S101 - there is at least one attempt
    if best.noise < before:
        work.plan, work.overrides = best.plan, (*best.overrides, *work.overrides)
        work.notes.append(_sentence(work.original, best, before))


@dataclass(frozen=True)
class _Choice:
    widened: Widened
    plan: Plan
    overrides: tuple[Override, ...]
    noise: float


def few_samples(work: RecoveryState, count: int) -> list[dict[str, Array]]:
    """Gives that many calibration samples, spread over all.

    Raises:
        DataError: there is none.
    """
    kept: list[dict[str, Array]] = []
    step = 1
    for i, sample in enumerate(work.samples()):
        if i % step == 0:
            kept.append({k: np.array(v) for k, v in sample.items()})
        if len(kept) == 2 * count:
            # Every second one goes, so that what is left always spreads over all that was seen.
            kept, step = kept[::2], 2 * step
    if not kept:
        raise DataError("There is no calibration sample; give at least one, better 100.")
    return kept[:count] if len(kept) <= count else [kept[i * len(kept) // count] for i in range(count)]


def _equal(work: RecoveryState, model: Model) -> bool:
    """True when a changed float model still gives the answers of the original."""
    samples = few_samples(work, NOISE_SAMPLES)
    before, after = outputs_of(work.original, samples), outputs_of(model, samples)
    return noise_share(list(before), list(after)) <= EQUAL


def measured_noise(
    work: RecoveryState, plan: Plan, wanted: list[list[Array]], samples: list[dict[str, Array]]
) -> float:
    """Gives the noise of a plan's file on LiteRT, infinite where it does not run."""
    try:
        return noise_share(wanted, list(outputs_of(_file(work.original, plan), samples)))
    except TightfitError:
        return float("inf")


def _sample_noise(
    work: RecoveryState, plan: Plan, wanted: list[list[Array]], samples: list[dict[str, Array]]
) -> float:
    """The same, every sample counting alike."""
    try:
        return sample_noise(wanted, list(outputs_of(_file(work.original, plan), samples)))
    except TightfitError:
        return float("inf")


def _file(model: Model, plan: Plan) -> Model:
    """The quantized model as LiteRT runs it fastest here."""
    made = apply_plan(model, plan)
    lay_out(made, ("float_islands", "bridge_through_float"))
    return made


def widened_plan(
    work: RecoveryState, widened: Widened, scheme_of: Callable[[Op], str]
) -> tuple[Plan, tuple[Override, ...]]:
    """Return the plan in which some ops are computed by other schemes, and the overrides that say so.

    Args:
        work: its model, scheme, ranges and overrides.
        widened: the ops; those that only move the results of one go along with it.
        scheme_of: the scheme of an op.
    """
    names = set(widened.ops)
    reason = "its int8 activations cost more than they are worth"
    overrides = []
    for op in work.original.main.ops:
        decider = source_tensor(op.outputs[0]).producer if moves_data(op) else op
        if decider is not None and decider.name in names:
            overrides.append(Override(op.name, scheme_of(decider), reason))
    chosen = tuple(overrides)
    plan = make_plan(work.original, work.plan.scheme, work.ranges, overrides=(*chosen, *work.overrides))
    return plan, chosen


def _scheme_of(op: Op) -> str:
    """int16, or float with int8 weights where the runtime has no such kernel or a table would double."""
    return _UNPACKED if op.kind in TABLES or refusal_reason(op, "int16") else _WIDER


def _sentence(model: Model, choice: _Choice, before: float) -> str:
    costs = op_costs(model.main)
    share = sum(costs.get(o, 0.0) for o in choice.widened.ops)
    return (
        f"{len(choice.widened.ops)} ops with {share:.0%} of the work leave int8 activations: the outputs' "
        f"noise falls from {before:.2%} to {choice.noise:.2%} of their power"
    )


__all__ = ["activation_ranges", "few_samples", "masks", "measured_noise", "mixed_activations", "smoothing"]

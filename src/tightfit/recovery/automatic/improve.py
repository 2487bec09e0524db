"""The automatic recoveries of int8 and int16x8: tried in turn, kept where held-out samples show a gain.

A plain file whose noise is small stays as it is, for the price of a few runs. Otherwise each way below is
tried on top of what was kept before it, and nothing depends on what a model is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import Final

from tightfit.errors import TightfitError
from tightfit.graph.ops.macs import macs
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.activations.attention_masks import shrink_masks
from tightfit.recovery.activations.cross_layer_equalization import equalize, find_pairs
from tightfit.recovery.automatic.float_ops import lift
from tightfit.recovery.automatic.function_ranges import function_ranges
from tightfit.recovery.automatic.held_out_noise import HeldOutNoise
from tightfit.recovery.automatic.output_ranges import output_ranges
from tightfit.recovery.automatic.shared_scales import float_joins
from tightfit.recovery.bias_correction import correct_fast
from tightfit.recovery.rounding.layerwise import round_with_data
from tightfit.recovery.state import RecoveryState
from tightfit.units import format_count, format_percent

OBSERVERS: Final = ("minmax", "mse", "percentile:99.99", "percentile:99.9")
"""The ranges that are tried for all activations together."""

WORTH: Final = 0.97
"""What was tried is kept where the noise falls below this share of what it was."""

FEW_SAMPLES: Final = 32
"""Samples that show how far each channel reaches, and its mean; ranges and weights are fitted to all."""

_NEAR: Final = 3.0
"""Corrected biases are tried alone where the noise is at most this many times what is allowed."""

_ENOUGH: Final = 0.3
"""They suffice where the noise falls to this share of what is allowed."""

_WEIGHTS: Final = 0.2
"""Weights are rounded with data where they alone cause this share of the noise."""

_MUCH: Final = 1.5
"""Ops leave int8 only where the noise is this many times what is allowed."""

_CLEARLY: Final = 0.89
"""In a file whose noise is allowed, what was tried is kept below this share of it: half a decibel."""

_INAUDIBLE: Final = 0.05
"""Share of the allowed noise below which nothing is tried."""

_FAST: Final = 2e9
"""Multiply–accumulates of all judging samples up to which ranges are compared in a good file too."""

_STRICTER: Final = 0.25
"""The share of the allowed noise that a thorough build may leave."""

Way = Callable[[RecoveryState, HeldOutNoise, float], str]


def improve(
    state: RecoveryState, check: HeldOutNoise, *, may_lift: bool, thorough: bool = False
) -> RecoveryState:
    """Run the ways that gain; the state's notes say what was done and what it brought.

    Args:
        state: a plan of integer activations, before any recovery.
        check: measures files on samples that ``state.fitting`` leaves out.
        may_lift: whether ops may keep float activations, as a CPU runs them.
        thorough: go on to a quarter of the noise that is allowed otherwise.

    Returns:
        the state that is best on the held-out samples.
    """
    if state.plan.scheme.activations is None or not check.is_measurable:
        return state
    first = noise = check.of_plan(state.model, state.plan)
    allowed = state.noise = check.allowed(state.noise) * (_STRICTER if thorough else 1.0)
    done: list[str] = []
    ways: list[Way] = [_masks, _outputs, *([_joins] if may_lift else []), _equalization, _ranges, _weights]
    if noise <= allowed:
        audible = noise > _INAUDIBLE * allowed
        ways, may_lift = ([_ranges] if audible and _runs_fast(state, check) else []), False
    if may_lift and state.plan.scheme.weights == "int8":
        ways.append(_float_activations)
    worth = WORTH if noise > allowed else _CLEARLY
    if allowed < noise <= _NEAR * allowed and not thorough:
        corrected, less = _tried(state, check, noise, _biases, done, worth)
        if less <= _ENOUGH * allowed:
            state, noise, ways = corrected, less, []
        else:
            done.clear()
    for way in ways:
        if way is _float_activations and noise <= (1.0 if thorough else _MUCH) * allowed:
            break
        state, noise = _tried(state, check, noise, way, done, worth)
    if done:
        samples = format_count(len(check.inputs), "sample")
        state.notes.append(
            f"automatic: {'; '.join(done)}. Noise on {samples} that fitted nothing: {_percent(first)} → "
            f"{_percent(noise)} of the outputs' power (--effort 0 leaves this out)"
        )
    return state


def _runs_fast(state: RecoveryState, check: HeldOutNoise) -> bool:
    """True where the files of all observers are measured within about a second."""
    return len(check.inputs) * sum(macs(op) for op in state.original.main.ops) < _FAST


def _tried(
    state: RecoveryState, check: HeldOutNoise, noise: float, way: Way, done: list[str], worth: float
) -> tuple[RecoveryState, float]:
    """The state after one way where that gains, else as it was."""
    changed = state.twin()
    try:
        words = way(changed, check, noise)
    except TightfitError:
        return state, noise  # LiteRT does not run what the way made: it is no gain
    after = check.of_plan(changed.model, changed.plan) if words else math.inf
    if after > _NEEDS.get(way, worth) * noise:
        if changed.original is state.original:
            state.input_means, state.moments = changed.input_means, changed.moments
        return state, noise
    done.append(f"{words} ({_percent(noise)} → {_percent(after)})")
    return changed, after


def _masks(state: RecoveryState, check: HeldOutNoise, noise: float) -> str:  # noqa: ARG001 - of all ways
    """Attention masks no larger than their SOFTMAX needs."""
    model, masked = shrink_masks(state.original, state.ranges)
    if not masked:
        return ""
    state.known.update(masked)
    state.adopt(model)
    return f"masks of {len(masked)} attentions clipped"


def _outputs(state: RecoveryState, check: HeldOutNoise, noise: float) -> str:  # noqa: ARG001 - of all ways
    """Ranges of the outputs by what their rounding costs."""
    dtype = state.plan.scheme.activations or ""
    found = output_ranges(state.original, state.ranges, check, dtype)
    found = {key: limits for key, limits in found.items() if key not in state.known}
    if not found:
        return ""
    state.known.update(found)
    ranges = Ranges(state.ranges.statistics, state.ranges.observers)
    for key, limits in state.known.items():
        ranges.set(0, key, dtype, limits)
    state.ranges = ranges
    state.plan = make_plan(state.original, state.plan.scheme, ranges, overrides=state.overrides)
    return f"range of {format_count(len(found), 'output')} cut"


def _joins(state: RecoveryState, check: HeldOutNoise, noise: float) -> str:  # noqa: ARG001 - of all ways
    """A scale for each member of a join, by data movement in float."""
    dtype = state.plan.scheme.activations or ""
    found = float_joins(state.original, state.plan, state.ranges, dtype)
    if not found:
        return ""
    state.overrides = (*found, *state.overrides)
    state.plan = make_plan(state.original, state.plan.scheme, state.ranges, overrides=state.overrides)
    return f"{format_count(len(found), 'op')} that join or part values of unequal reach keep float"


def _biases(state: RecoveryState, check: HeldOutNoise, noise: float) -> str:  # noqa: ARG001 - of all ways
    """Biases fitted to the weights' mean error: the cheapest way, tried alone before the others."""
    means = state.layer_means(FEW_SAMPLES)
    state.model = correct_fast(state.original, state.original, state.plan, means)
    return "biases corrected"


def _equalization(state: RecoveryState, check: HeldOutNoise, noise: float) -> str:  # noqa: ARG001 - of all ways
    """Channels of equal reach between layers."""
    if state.holds_weights or not find_pairs(state.original, state.plan):
        return ""
    report, counted = state.stage_progress("channels between layers"), [0]

    def count() -> None:
        counted[0] += 1
        report(counted[0], 0)

    samples = islice(state.fitting(), FEW_SAMPLES)
    model, changed = equalize(state.original, state.plan, samples, progress=count)
    if not changed:
        return ""
    state.adopt(model)
    return f"channels of {format_count(len(changed), 'layer')} equalized"


_NEEDS: Final[dict[Way, float]] = {_outputs: 1.0, _joins: 0.8}
"""A way that only must not harm, as it costs nothing later; and one that must gain more, as it costs time."""


def _ranges(state: RecoveryState, check: HeldOutNoise, noise: float) -> str:  # noqa: ARG001 - of all ways
    """The observer under which the outputs lose least; ends behind a function by what it lets through."""
    dtype = state.plan.scheme.activations
    if dtype != "int8":
        return ""
    best, found, words = math.inf, state.ranges, ""
    for done, name in enumerate(OBSERVERS):
        state.stage_progress("ranges of the activations")(done, len(OBSERVERS))
        ranges = Ranges(state.ranges.statistics, {**state.ranges.observers, dtype: name})
        for key, limits in (function_ranges(state.original, ranges, dtype) | state.known).items():
            ranges.set(0, key, dtype, limits)
        plan = make_plan(state.original, state.plan.scheme, ranges, overrides=state.overrides)
        measured = check.of_plan(state.model, plan)
        if measured < best:
            best, found, words = measured, ranges, name
            state.plan = plan
    state.ranges = found
    return f"ranges by {words}"


def _weights(state: RecoveryState, check: HeldOutNoise, noise: float) -> str:
    """Biases fitted to the weights' mean error; weights rounded with data where they cause the noise."""
    plain = correct_fast(state.original, state.original, state.plan, state.layer_means(FEW_SAMPLES))
    corrected = check.of_plan(plain, state.plan)
    best = min(noise, corrected)
    if state.holds_weights:
        state.model = plain
        return "biases corrected"
    # The same weights under float activations: what the weights alone cost.
    weights = check.of_plan(state.original, make_plan(state.original, "weight8"))
    if best > state.noise / 2 and weights > _WEIGHTS * best:
        model, plan = round_with_data(state.original, state.plan, state.layer_moments())
        if check.of_plan(model, plan) < WORTH * best:
            state.model, state.plan = model, plan
            return "weights rounded with data"
    state.model = plain
    return "biases corrected"


def _float_activations(state: RecoveryState, check: HeldOutNoise, noise: float) -> str:
    """Float activations where int8 costs most; weights and biases are fitted anew."""
    state.model = state.original
    words = lift(state, check)
    return f"{words}, {_weights(state, check, noise)}" if words else ""


def _percent(noise: float) -> str:
    """A noise as people read it."""
    return format_percent(noise, 2) if noise < 1 else "all"

"""The recoveries of weights and biases, each a function of a state; ``steps`` has a row for each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from tightfit.evaluation.slices.model_slices import answers_of, slices_of
from tightfit.graph.format.packing import ALIGNMENT
from tightfit.graph.writer import serialize
from tightfit.provenance.record import room_for
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.modes import Override
from tightfit.quantization.planning import make_plan
from tightfit.recovery.activations.activation_steps import NOISE_SAMPLES, adopt_if_better, few_samples
from tightfit.recovery.activations.cross_layer_equalization import equalize
from tightfit.recovery.bias_correction import correct_fast
from tightfit.recovery.mixed_precision import SCHEMES_OF, mix
from tightfit.recovery.rounding.layerwise import round_with_data
from tightfit.recovery.sensitivity import Sensitivity, measure_sensitivities
from tightfit.recovery.sequential_bias_correction import correct_in_sequence
from tightfit.recovery.slices.remedy import mend
from tightfit.recovery.state import SPARE_SHARE, RecoveryState
from tightfit.units import format_count

SENSITIVITY_SAMPLES: Final = 24
SLICE_SAMPLES: Final = 48


def equalization(state: RecoveryState) -> None:
    """Equalize channel ranges across layers (``cross_layer_equalization.equalize``) and calibrate again."""
    report, count = state.stage_progress("channel ranges between layers"), itertools.count(1)
    model, changed = equalize(
        state.original, state.plan, state.samples(), progress=lambda: report(next(count), 0)
    )
    if not changed:
        return
    samples = few_samples(state, NOISE_SAMPLES)
    adopt_if_better(state, model, samples, f"channels equalized after {format_count(len(changed), 'layer')}")


def mixed_precision(state: RecoveryState) -> None:
    """Choose the bits of each layer's weights, 8, 4 or 2, for the least noise within the size."""
    chosen = [dict(s) for s, _ in zip(state.samples(), range(SENSITIVITY_SAMPLES), strict=False)]
    moments, report = state.layer_moments(), state.stage_progress("sensitivity of each layer")
    found = measure_sensitivities(state.original, state.plan, moments, chosen, progress=report)
    if not found:
        return
    limit = state.size_bytes or int(SPARE_SHARE * state.float_bytes)
    # Provenance is added to the file last; every buffer may then begin a few bytes later.
    reserved = room_for(limit) + ALIGNMENT * len(found)
    spare = limit - len(serialize(apply_plan(state.original, state.plan))) - reserved
    compute = state.plan.scheme.compute
    fewer = _in_fewer_bits(state, found) if spare < 0 and "int2" in SCHEMES_OF[compute] else []
    assignment = mix(found, spare if fewer else max(spare, 0), fewer)
    state.notes.append(assignment.summary())
    if assignment.types:
        state.overrides = (*assignment.overrides(compute), *state.overrides)
        state.plan = make_plan(state.original, state.plan.scheme, state.ranges, overrides=state.overrides)


def _in_fewer_bits(state: RecoveryState, found: Sequence[Sensitivity]) -> list[Sensitivity]:
    """The sensitivities of the same layers in 2 bits."""
    names = [Override(s.name, SCHEMES_OF[state.plan.scheme.compute]["int2"]) for s in found]
    plan = make_plan(state.original, state.plan.scheme, state.ranges, overrides=(*names, *state.overrides))
    chosen = few_samples(state, SENSITIVITY_SAMPLES)
    report = state.stage_progress("sensitivity of each layer in 2 bits")
    return measure_sensitivities(
        state.original, plan, state.layer_moments(), chosen, dtypes=("int2",), progress=report
    )


def rounding(state: RecoveryState) -> None:
    """Round every layer's weights by GPTQ, biases included (``layerwise.round_with_data``)."""
    state.model, state.plan = round_with_data(state.original, state.plan, state.layer_moments())
    state.notes.append("weights rounded with data")


def bias_correction(state: RecoveryState) -> None:
    """Correct biases for the mean error of each layer's weights (``bias_correction.correct_fast``)."""
    state.model = correct_fast(state.original, state.model, state.plan, state.layer_means())
    state.notes.append("biases corrected for the weights' mean error")


def bias_sequence(state: RecoveryState) -> None:
    """Correct biases layer by layer for the mean error of each layer and those before it, on LiteRT."""
    state.model = correct_in_sequence(
        state.original,
        state.model,
        state.plan,
        state.samples,
        progress=state.stage_progress("sequential bias correction"),
    )
    state.notes.append("biases corrected layer by layer on the device's inputs")


def slices(state: RecoveryState) -> None:
    """Mend slices of outputs that one scale cannot hold (``slices.remedy``)."""
    samples = few_samples(state, SLICE_SAMPLES)
    answered = answers_of(state.original, samples)
    mend(state, answered, slices_of(state.original))

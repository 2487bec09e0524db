"""The recoveries in the one order in which they must run, one row each.

What changes the float model comes first, what moves weights after what chooses their type, and biases are
fitted to the weights that stay.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final

from tightfit.errors import OptionError, unknown_name
from tightfit.graph.writer import ALIGNMENT, serialize
from tightfit.provenance.record import room_for
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.planning import make_plan
from tightfit.recovery.activations.activation_steps import (
    NOISE_SAMPLES,
    activation_ranges,
    adopt_if_better,
    few_samples,
    masks,
    mixed_activations,
    smoothing,
)
from tightfit.recovery.activations.cross_layer_equalization import equalize
from tightfit.recovery.bias_correction import correct_fast
from tightfit.recovery.mixed_precision import widen
from tightfit.recovery.rounding.blockwise import learn_rounding
from tightfit.recovery.rounding.layerwise import round_with_data
from tightfit.recovery.sensitivity import measure_sensitivities
from tightfit.recovery.sequential_bias_correction import correct_in_sequence
from tightfit.recovery.state import SPARE_SHARE, RecoveryState
from tightfit.training.backend import choose_backend
from tightfit.units import format_count

__all__ = ["STEPS", "RecoveryState", "recover"]

SENSITIVITY_SAMPLES: Final = 24


def equalization(work: RecoveryState) -> None:
    """Equalize channel ranges across layers (``cross_layer_equalization.equalize``) and calibrate again."""
    report, count = work.tell("channels between layers"), itertools.count(1)
    model, changed = equalize(
        work.original, work.plan, work.samples(), progress=lambda: report(next(count), 0)
    )
    if not changed:
        return
    samples = few_samples(work, NOISE_SAMPLES)
    adopt_if_better(work, model, samples, f"channels equalized after {format_count(len(changed), 'layer')}")


def mixed_precision(work: RecoveryState) -> None:
    """Store the layers whose few-bit weights cost most in eight bits, as far as the bytes go."""
    chosen = [dict(s) for s, _ in zip(work.samples(), range(SENSITIVITY_SAMPLES), strict=False)]
    moments, report = work.seen(), work.tell("sensitivity of each layer")
    found = measure_sensitivities(work.original, work.plan, moments, chosen, progress=report)
    if not found:
        return
    limit = work.size_bytes or int(SPARE_SHARE * work.float_bytes)
    # Provenance goes into the file at last; every buffer may begin a few bytes later.
    reserved = room_for(limit) + ALIGNMENT * len(found)
    spare = limit - len(serialize(apply_plan(work.original, work.plan))) - reserved
    assignment = widen(found, spare)
    work.notes.append(assignment.summary())
    if assignment.wider:
        work.overrides = (*assignment.overrides("int8"), *work.overrides)
        work.plan = make_plan(work.original, work.plan.scheme, work.ranges, overrides=work.overrides)


def rounding(work: RecoveryState) -> None:
    """Round every layer's weights with data, biases included (``layerwise.round_with_data``)."""
    work.model, work.plan = round_with_data(work.original, work.plan, work.seen())
    work.notes.append("weights rounded with data")


def bias_correction(work: RecoveryState) -> None:
    """Fit biases to the mean error of each layer's own weights (``bias_correction.correct_fast``)."""
    work.model = correct_fast(work.original, work.model, work.plan, work.means())
    work.notes.append("biases corrected for the weights' mean error")


def bias_sequence(work: RecoveryState) -> None:
    """Fit biases to the mean error of each layer and those before it, measured on LiteRT."""
    work.model = correct_in_sequence(
        work.original,
        work.model,
        work.plan,
        work.samples,
        progress=work.tell("biases, layer by layer"),
    )
    work.notes.append("biases corrected layer by layer on the device's inputs")


STEPS: Final[dict[str, Callable[[RecoveryState], None]]] = {
    "masks": masks,
    "smoothing": smoothing,
    "equalization": equalization,
    "activation-ranges": activation_ranges,
    "mixed-precision": mixed_precision,
    "mixed-activations": mixed_activations,
    "rounding": rounding,
    "learned-rounding": learn_rounding,
    "bias-correction": bias_correction,
    "bias-sequence": bias_sequence,
}


NEEDS: Final[dict[str, Callable[[], str]]] = {"learned-rounding": choose_backend}
"""Step → what raises where something that it needs is not installed."""


def check_steps(steps: Sequence[str]) -> None:
    """Check the names of recoveries, and that what they need is installed, before anything takes its time.

    Raises:
        OptionError: a step is unknown, and the closest one is named; or it needs Keras, which is missing.
    """
    for name in steps:
        if name not in STEPS:
            raise OptionError(unknown_name("recovery", name, STEPS))
        if name in NEEDS:
            NEEDS[name]()


def recover(work: RecoveryState, steps: Sequence[str]) -> RecoveryState:
    """Run the named steps in their legal order; the work holds the model, the plan and the notes.

    Raises:
        OptionError: a step is unknown, and the closest one is named; or it needs Keras, which is missing.
    """
    check_steps(steps)
    for name, step in STEPS.items():
        if name in steps:
            step(work)
    return work

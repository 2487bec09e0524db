"""``RECOVERIES``: one row for each recovery, in the one order in which they must run.

Recoveries that change the float model run first, those that round weights after those that choose the
weights' type, and biases are corrected last, for the final weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.errors import OptionError, unknown_name
from tightfit.evaluation.slices.model_slices import answers_of, slices_of
from tightfit.graph.format.packing import ALIGNMENT
from tightfit.graph.writer import serialize
from tightfit.plugins import entries, load_entry
from tightfit.provenance.record import room_for
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.modes import Override
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
from tightfit.recovery.mixed_precision import SCHEMES_OF, mix
from tightfit.recovery.rounding.blockwise import learn_rounding
from tightfit.recovery.rounding.layerwise import round_with_data
from tightfit.recovery.sensitivity import Sensitivity, measure_sensitivities
from tightfit.recovery.sequential_bias_correction import correct_in_sequence
from tightfit.recovery.slices.remedy import mend
from tightfit.recovery.state import SPARE_SHARE, RecoveryState
from tightfit.training.backend import choose_backend
from tightfit.units import format_count

__all__ = ["RECOVERIES", "Recovery", "RecoveryState", "check_steps", "find_recovery", "recover"]

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


@dataclass(frozen=True)
class Recovery:
    """One recovery: the facts that commands, the search and the docs use.

    Args:
        name: the field's term; a value of ``--recover``.
        run: changes a state and adds a note to it.
        summary: one line for help and docs.
        papers: the papers that it follows.
        aliases: older names, which are accepted for one release.
        needs: called before any recovery runs; raises OptionError when a package is not installed. None when
            no extra package is needed.
        options: fields of ``BuildSpec`` that it reads.
        widens: True when it gives ops 16-bit activations, which some targets do not support.
        tried_on: schemes that the search tries with this recovery alone, beside ``search.recipes``.
        effort: the least effort at which the search does so.
    """

    name: str
    run: Callable[[RecoveryState], None]
    summary: str
    papers: str = ""
    aliases: tuple[str, ...] = ()
    needs: Callable[[], str] | None = None
    options: tuple[str, ...] = ()
    widens: bool = False
    tried_on: tuple[str, ...] = ()
    effort: str = "normal"


RECOVERIES: Final[dict[str, Recovery]] = {
    row.name: row
    for row in (
        Recovery(
            "attention-mask-clipping",
            masks,
            "attention masks no larger than their SOFTMAX needs",
            aliases=("masks",),
        ),
        Recovery(
            "slices",
            slices,
            "outputs, joins and inputs with entries of different units brought to one size; on by default",
        ),
        Recovery(
            "smoothing",
            smoothing,
            "large activation channels moved into the weights that read them",
            "SmoothQuant, Xiao et al. 2023",
        ),
        Recovery(
            "cross-layer-equalization",
            equalization,
            "channels of equal range between two layers",
            "Nagel et al. 2019",
            aliases=("equalization",),
        ),
        Recovery(
            "activation-ranges",
            activation_ranges,
            "activation ranges chosen by the error of the outputs",
        ),
        Recovery(
            "mixed-precision",
            mixed_precision,
            "8, 4 or 2 bits for the weights of each layer, by measured noise within a size (2 bits: weight4)",
            options=("max_size_bytes",),
        ),
        Recovery(
            "mixed-activations",
            mixed_activations,
            "16-bit or float activations for the ops that lose most in int8",
            options=("max_noise",),
            widens=True,
        ),
        Recovery(
            "gptq",
            rounding,
            "weights rounded with the second moments of each layer's input, in closed form",
            "GPTQ, Frantar et al. 2023; Chen et al. 2025",
            aliases=("rounding",),
        ),
        Recovery(
            "block-reconstruction",
            learn_rounding,
            "weights rounded block by block while the layers behind learn to compensate; needs Keras",
            "BRECQ, Li et al. 2021; QDrop, Wei et al. 2022",
            aliases=("learned-rounding",),
            needs=choose_backend,
        ),
        Recovery(
            "bias-correction",
            bias_correction,
            "biases that compensate the mean error of each layer's weights",
            "Nagel et al. 2019",
        ),
        Recovery(
            "sequential-bias-correction",
            bias_sequence,
            "biases corrected layer by layer on the inputs that LiteRT computes",
            "Nagel et al. 2019",
            aliases=("bias-sequence",),
        ),
    )
}
"""The recoveries in the one order in which they must run; those of plug-ins run last."""


def find_recovery(name: str) -> Recovery:
    """Return the recovery with a name or an older name.

    Raises:
        OptionError: the name is unknown; the message gives the closest one.

    Example:
        >>> find_recovery("rounding").name
        'gptq'
    """
    for row in RECOVERIES.values():
        if name == row.name or name in row.aliases:
            return row
    if name in entries("recoveries"):
        run = load_entry("recoveries", name)
        RECOVERIES[name] = Recovery(name, run, (run.__doc__ or name).strip().partition("\n")[0])
        return RECOVERIES[name]
    raise OptionError(unknown_name("recovery", name, RECOVERIES))


def check_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """Return the names of recoveries in the order in which they run, after a check of their requirements.

    Raises:
        OptionError: a name is unknown (the message gives the closest one), or a package is not installed.
    """
    chosen = {find_recovery(name).name for name in steps}
    found = [row for row in RECOVERIES.values() if row.name in chosen]
    for row in found:
        if row.needs is not None:
            row.needs()
    return tuple(row.name for row in found)


def recover(state: RecoveryState, steps: Sequence[str]) -> RecoveryState:
    """Run recoveries in their legal order and return the state with the new model, plan and notes.

    Args:
        state: the state to change.
        steps: names of recoveries, in any order.

    Raises:
        OptionError: see ``check_steps``.
    """
    for name in check_steps(steps):
        RECOVERIES[name].run(state)
    return state

"""The recoveries in the one order in which they must run, one row each.

What changes the float model comes first, what moves weights after what chooses their type, and biases are
fitted to the weights that stay.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

__all__ = ["RECOVERIES", "Recovery", "RecoveryState", "check_steps", "find_recovery", "recover"]

SENSITIVITY_SAMPLES: Final = 24


def equalization(work: RecoveryState) -> None:
    """Gives channels equal reach where that gains (``equalization.equalize``) and calibrates anew."""
    report, count = work.tell("channels between layers"), itertools.count(1)
    model, changed = equalize(
        work.original, work.plan, work.samples(), progress=lambda: report(next(count), 0)
    )
    if not changed:
        return
    samples = few_samples(work, NOISE_SAMPLES)
    adopt_if_better(work, model, samples, f"channels equalized after {format_count(len(changed), 'layer')}")


def mixed_precision(work: RecoveryState) -> None:
    """Stores the layers whose few-bit weights cost most in eight bits, as far as the bytes go."""
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
    """Rounds every layer's weights with data, biases included (``layerwise.round_with_data``)."""
    work.model, work.plan = round_with_data(work.original, work.plan, work.seen())
    work.notes.append("weights rounded with data")


def bias_correction(work: RecoveryState) -> None:
    """Fits biases to the mean error of each layer's own weights (``bias_correction.correct_fast``)."""
    work.model = correct_fast(work.original, work.model, work.plan, work.means())
    work.notes.append("biases corrected for the weights' mean error")


def bias_sequence(work: RecoveryState) -> None:
    """Fits biases to the mean error of each layer and those before it, measured on LiteRT."""
    work.model = correct_in_sequence(
        work.original,
        work.model,
        work.plan,
        work.samples,
        progress=work.tell("biases, layer by layer"),
    )
    work.notes.append("biases corrected layer by layer on the device's inputs")


@dataclass(frozen=True)
class Recovery:
    """One recovery: all that commands, the search and the docs know of it.

    Args:
        name: the field's term; what ``--recover`` takes.
        run: changes a state; its notes record what was done.
        summary: one line for help and docs.
        papers: what it follows.
        aliases: older names, still taken.
        needs: called before anything runs; raises where something is not installed. None: needs nothing.
        options: fields of ``BuildSpec`` that it reads.
        widens: True where it gives ops 16-bit activations, which some targets do not take.
        tried_on: schemes that the search tries with this recovery alone, beside ``search.recipes``.
        effort: the least effort of the search that tries it so.
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
            "8-bit weights for the layers that lose most in 4 bits, within a size",
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
"""The recoveries in the one order in which they must run."""


def find_recovery(name: str) -> Recovery:
    """Return the recovery of a name or of an older name.

    Raises:
        OptionError: there is none; the closest match is named.

    Example:
        >>> find_recovery("rounding").name
        'gptq'
    """
    for row in RECOVERIES.values():
        if name == row.name or name in row.aliases:
            return row
    raise OptionError(unknown_name("recovery", name, RECOVERIES))


def check_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """Return the names of recoveries in the order in which they run; check what they need first.

    Raises:
        OptionError: a name is unknown, and the closest one is named; or something is not installed.
    """
    chosen = {find_recovery(name).name for name in steps}
    found = [row for row in RECOVERIES.values() if row.name in chosen]
    for row in found:
        if row.needs is not None:
            row.needs()
    return tuple(row.name for row in found)


def recover(state: RecoveryState, steps: Sequence[str]) -> RecoveryState:
    """Run recoveries in their legal order; the state holds the model, the plan and the notes.

    Raises:
        OptionError: see ``check_steps``.
    """
    for name in check_steps(steps):
        RECOVERIES[name].run(state)
    return state

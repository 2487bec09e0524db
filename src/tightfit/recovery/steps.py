"""``RECOVERIES``: one row for each recovery, in the one order in which they must run.

Recoveries that change the float model run first, those that round weights after those that choose the
weights' type, and biases are corrected last, for the final weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

from tightfit.errors import OptionError, unknown_name
from tightfit.plugins import entries, load_entry
from tightfit.training.backend import choose_backend

if TYPE_CHECKING:
    from tightfit.recovery.state import RecoveryState


def _step(module: str, name: str) -> Callable[[RecoveryState], None]:
    """Return a step that imports its function at its first run: few runs need any of them.

    Args:
        module: of this package.
        name: of a function of a state.
    """

    def run(state: RecoveryState) -> None:
        getattr(import_module(f"tightfit.recovery.{module}"), name)(state)

    return run


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
            _step("activations.activation_steps", "masks"),
            "attention masks no larger than their SOFTMAX needs",
            aliases=("masks",),
        ),
        Recovery(
            "slices",
            _step("weight_steps", "slices"),
            "outputs, joins and inputs with entries of different units brought to one size; on by default",
        ),
        Recovery(
            "smoothing",
            _step("activations.activation_steps", "smoothing"),
            "large activation channels moved into the weights that read them",
            "SmoothQuant, Xiao et al. 2023",
        ),
        Recovery(
            "cross-layer-equalization",
            _step("weight_steps", "equalization"),
            "channels of equal range between two layers",
            "Nagel et al. 2019",
            aliases=("equalization",),
        ),
        Recovery(
            "activation-ranges",
            _step("activations.activation_steps", "activation_ranges"),
            "activation ranges chosen by the error of the outputs",
        ),
        Recovery(
            "mixed-precision",
            _step("weight_steps", "mixed_precision"),
            "8, 4 or 2 bits for the weights of each layer, by measured noise within a size (2 bits: weight4)",
            options=("max_size_bytes",),
        ),
        Recovery(
            "mixed-activations",
            _step("activations.activation_steps", "mixed_activations"),
            "16-bit or float activations for the ops that lose most in int8",
            options=("max_noise",),
            widens=True,
        ),
        Recovery(
            "gptq",
            _step("weight_steps", "rounding"),
            "weights rounded with the second moments of each layer's input, in closed form",
            "GPTQ, Frantar et al. 2023; Chen et al. 2025",
            aliases=("rounding",),
        ),
        Recovery(
            "block-reconstruction",
            _step("rounding.blockwise", "learn_rounding"),
            "weights rounded block by block while the layers behind learn to compensate; needs Keras",
            "BRECQ, Li et al. 2021; QDrop, Wei et al. 2022",
            aliases=("learned-rounding",),
            needs=choose_backend,
        ),
        Recovery(
            "bias-correction",
            _step("weight_steps", "bias_correction"),
            "biases that compensate the mean error of each layer's weights",
            "Nagel et al. 2019",
        ),
        Recovery(
            "sequential-bias-correction",
            _step("weight_steps", "bias_sequence"),
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

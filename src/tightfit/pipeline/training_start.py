"""The model and the plan that training, pruning and clustering start from: those that ``quantize`` finds."""

from __future__ import annotations

from dataclasses import replace

from tightfit.evaluation.slices.model_slices import by_name, slices_of
from tightfit.graph.ir import Model
from tightfit.graph.signatures import keeps_state
from tightfit.pipeline.builder import judges
from tightfit.quantization.calibration.calibrate import Calibration, calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import Scheme
from tightfit.recovery.automatic.improve import improve
from tightfit.recovery.slices.remedy import mend
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover
from tightfit.types import Samples


def training_start(
    model: Model, scheme: Scheme, samples: Samples, weights_free: bool, layout: str = "cpu"
) -> tuple[Model, Plan]:
    """Return the float model and the plan of the best integer file, with the remedies of ``quantize``.

    Args:
        model: the float model; the one returned has the same function, and may have more ops.
        scheme: of the file.
        samples: starts the calibration samples anew.
        weights_free: whether no mask or cluster holds the weights; those that are held are not rounded with
            data and their channels not equalized.
        layout: of the file; only ``cpu`` lets ops keep float activations.

    Raises:
        TightfitError: the model cannot be calibrated or planned.
    """
    seen = calibrate(model, samples(), detailed=True)
    ranges = Ranges([seen.statistics])
    state = RecoveryState(model, make_plan(model, scheme, ranges), ranges, samples, 0)
    state.holds_weights = not weights_free
    recover(state, ("masks",))
    if not keeps_state(model):
        state = _improved(state, model, seen, layout)
    mend(state, by_name(model, seen.kept), slices_of(model))
    return state.model, replace(state.plan, notes=[*state.plan.notes, *state.notes])


def _improved(state: RecoveryState, model: Model, seen: Calibration, layout: str) -> RecoveryState:
    """The state after the automatic recoveries, or after GPTQ where 4-bit weights lose less by it."""
    check = judges(state, model, seen)
    found = [improve(state, check, may_lift=layout == "cpu")]
    if state.plan.scheme.weights == "int4" and not state.holds_weights:
        found.append(recover(state.twin(), ["gptq"]))
    if len(found) == 1:
        return found[0]
    return min(found, key=lambda each: check.of_plan(each.model, each.plan))

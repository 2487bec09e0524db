"""Keeps the few ops that integer activations spoil in float, on a CPU that runs both: weights stay int8.

A dense layer quantizes its float input anew at each call (``dynamic``), which costs a CPU nothing; other ops
compute in float on weights that are unpacked once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tightfit.graph.ir import Model, Op
from tightfit.quantization.modes import hybrid_positions
from tightfit.quantization.ops.rule_lookup import find_rule
from tightfit.quantization.plan import INTEGER
from tightfit.recovery.activations.activation_noise import measure_activations
from tightfit.recovery.activations.activation_steps import widened_plan
from tightfit.recovery.activations.mixed_activations import choose_wider, op_costs
from tightfit.recovery.activations.switchable_rounding import SwitchableRounding
from tightfit.recovery.automatic.held_out_noise import HeldOutNoise
from tightfit.recovery.state import RecoveryState
from tightfit.units import format_percent

SAMPLES: Final = 3
"""Samples that each set of roundings is measured on."""

RUNS: Final = 40
"""Sets of roundings that are measured at most."""

ATTEMPTS: Final = 3
MOST: Final = 0.35
"""The ops in float together may cost this share of the model's work."""

_FREE: Final = 0.02
"""What a dense layer that quantizes its own input costs, as a share of its multiply–accumulates."""


def lift(state: RecoveryState, check: HeldOutNoise) -> str:
    """Keep the ops whose integer activations cost most in float until the noise is allowed.

    Args:
        state: its plan and overrides are changed.
        check: measures the noise; ``state.noise`` is what is allowed.

    Returns:
        what was done, in words; empty where nothing was.
    """
    gates = SwitchableRounding(state.original, state.plan, state.plan.scheme.activations or "int8")
    if not gates.edges:
        return ""
    some = check.inputs[:: max(1, len(check.inputs) // SAMPLES)][:SAMPLES]
    report = state.stage_progress("noise of integer activations")
    edges = measure_activations(gates, some, state.noise, most_runs=RUNS, progress=report)
    costs, allowed = lifting_costs(state.original), state.noise
    plan, overrides = state.plan, tuple(state.overrides)
    for _ in range(ATTEMPTS):
        widened = choose_wider(edges, costs, allowed, MOST)
        plan, chosen = widened_plan(state, widened, float_scheme)
        overrides = (*chosen, *state.overrides)
        found = check.of_plan(state.model, plan)
        if found <= state.noise:
            break
        allowed *= 0.5 * min(1.0, state.noise / found)
    state.plan, state.overrides = plan, overrides
    return _words([op.name for op in plan.graphs[0].ops if op.mode == INTEGER], state.original)


def lifting_costs(model: Model) -> dict[str, float]:
    """Return what each op costs in float as a share of the model's work."""
    costs = op_costs(model.main)
    own = min(costs.values(), default=0.0)
    free = [op.name for op in model.main.ops if float_scheme(op) == "dynamic"]
    return costs | {name: own + _FREE * costs[name] for name in free}


def float_scheme(op: Op) -> str:
    """Return the scheme by which an op computes in float with int8 weights.

    Example:
        >>> float_scheme(Op("SOFTMAX", [], []))
        'weight8'
    """
    dense = op.kind == "FULLY_CONNECTED" and bool(hybrid_positions(op, find_rule(op.kind)))
    return "dynamic" if dense else "weight8"


def _words(integer: Sequence[str], model: Model) -> str:
    costs = op_costs(model.main)
    left = sum(costs.get(name, 0.0) for name in integer)
    lifted = len(model.main.ops) - len(integer)
    share = f"{lifted} ops with {format_percent(1 - left, 0)} of the work"
    return f"{share} keep float activations (--layout npu keeps all in integers)"

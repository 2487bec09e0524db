"""Joins whose members differ in reach: data movement in float gives each member a scale of its own.

An op that only moves values has one scale for all that it joins or takes apart. An LSTM's output (±1) beside
its cell state is then as coarse as the state. In float the op copies the values, each side of it keeps the
scale of its own range, and a CPU pays two conversions.
"""

from __future__ import annotations

from typing import Final

from tightfit.graph.ir import Model, Op, Tensor
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.modes import Override
from tightfit.quantization.ops.rule_lookup import find_rule, real_inputs, real_outputs
from tightfit.quantization.plan import INTEGER, Plan

SPREAD: Final = 1.5
"""A join is tried in float where the largest member reaches this many times as far as the smallest."""

_JOINS: Final = frozenset(
    {"CONCATENATION", "PACK", "UNPACK", "SPLIT", "SPLIT_V", "SLICE", "STRIDED_SLICE", "GATHER", "GATHER_ND"}
)
_MOVES: Final = _JOINS | {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "TILE", "BROADCAST_TO"}


def float_joins(model: Model, plan: Plan, ranges: Ranges, dtype: str) -> list[Override]:
    """Return overrides that keep the data movement around unequal members in float.

    Args:
        model: the float model.
        plan: its plan; only ops that it computes in integers are returned.
        ranges: what calibration saw.
        dtype: the integer type of the plan.
    """
    keys, modes = model.main.keys(), {op.name: op.mode for op in plan.graphs[0].ops}
    movers = [op for op in model.main.ops if op.kind in _MOVES and modes.get(op.name) == INTEGER]
    found = []
    for ops in _connected(movers):
        limits = [ranges.find(0, keys[t], dtype) for op in ops for t in _moved(op)]
        reaches = [reach for limit in limits if limit and (reach := max(-limit[0], limit[1])) > 0]
        if any(op.kind in _JOINS for op in ops) and max(reaches, default=0) >= SPREAD * min(
            reaches, default=1
        ):
            found += [Override(op.name, "float", "its members reach differently far") for op in ops]
    return found


def _moved(op: Op) -> list[Tensor]:
    """The activations that an op moves."""
    rule = find_rule(op.kind)
    both = (*real_inputs(op, rule), *real_outputs(op, rule))
    return [t for _, t in both if not t.is_constant]


def _connected(movers: list[Op]) -> list[list[Op]]:
    """The movers in groups that share a tensor, in graph order."""
    groups: list[tuple[set[int], list[Op]]] = []
    for op in movers:
        tensors = {id(t) for t in _moved(op)}
        touching = [group for group in groups if group[0] & tensors]
        ops = [member for group in touching for member in group[1]]
        merged = (tensors.union(*(group[0] for group in touching)), [*ops, op])
        groups = [group for group in groups if group not in touching] + [merged]
    return [ops for _, ops in groups]

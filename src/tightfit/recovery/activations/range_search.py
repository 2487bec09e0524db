"""Range search: choose the range of each activation by the noise that it causes in the outputs.

Every observer computes a range from the same statistics; some clip rare extremes. For each tensor the float
model runs with only that tensor rounded (see ``switchable_rounding``), once for each observer. The observer
with the least output noise is chosen; the extremes are kept where no other reduces the noise by a tenth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tightfit.graph.ir import Model, Tensor
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.calibration.ranges import DEFAULT_OBSERVERS, Ranges
from tightfit.quantization.ops.data_movement import source_tensor
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import Overrides, make_plan
from tightfit.recovery.activations.switchable_rounding import SwitchableRounding
from tightfit.recovery.output_noise import Inputs, noise_share

CHOICES: Final = ("mse", "percentile:99.99", "percentile:99.9")

_GAIN: Final = 0.9
_SAME: Final = 0.98
"""Ranges wider than this fraction of the extremes are not tried."""

Found = dict[str, str]


def choose_observers(
    model: Model,
    plan: Plan,
    ranges: Ranges,
    samples: Sequence[Inputs],
    *,
    overrides: Overrides = (),
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Return op name → observer, for the outputs with less noise under another range than the extremes.

    Args:
        model: the float model.
        plan: the plan made for it with ``ranges``.
        ranges: the calibrated ranges.
        samples: a few samples, kept in memory.
        overrides: the overrides that ``plan`` was made with.
        progress: progress callback, called with (runs done, runs in total).

    Raises:
        RuntimeFailureError: LiteRT cannot run the model with switchable rounding.
    """
    plain = SwitchableRounding(model, plan)
    best, found = _noises(plain, sorted({e.source for e in plain.edges}), samples), {}
    for done, name in enumerate(CHOICES, 1):
        other = make_plan(model, plan.scheme, observed(ranges, name), overrides=overrides)
        names = [s for s in best if s and _differs(model, plan, other, s)]
        for source, noise in _noises(SwitchableRounding(model, other), names, samples).items():
            if noise < _GAIN * best[source]:
                best[source], found[source] = noise, name
        if progress is not None:
            progress(done, len(CHOICES))
    return found


def observed(ranges: Ranges, name: str) -> Ranges:
    """Return ranges of the same statistics by one observer for every type."""
    return Ranges(ranges.statistics, dict.fromkeys(DEFAULT_OBSERVERS, name))


def chosen_ranges(model: Model, ranges: Ranges, found: Mapping[str, str], dtype: str) -> dict[str, Range]:
    """Return tensor key → range for the outputs of ops, and for what data-movement ops copy from them.

    Args:
        model: the float model.
        ranges: the calibrated ranges.
        found: op name → observer.
        dtype: the integer type of the activations.
    """
    views = {name: observed(ranges, name) for name in set(found.values())}
    chosen = {}
    for tensor, key in model.main.keys().items():
        name = found.get(_source(tensor))
        limits = None if name is None else views[name].find(0, key, dtype)
        if limits is not None:
            chosen[key] = limits
    return chosen


def _source(tensor: Tensor) -> str:
    producer = None if tensor.is_constant else source_tensor(tensor).producer
    return "" if producer is None else producer.name


def _noises(gates: SwitchableRounding, sources: Sequence[str], samples: Sequence[Inputs]) -> dict[str, float]:
    """Op → output noise of rounding its result alone, as a fraction of the outputs' power."""
    if not sources or not gates.edges:
        return {}
    with gates.open() as session:
        wanted = list(gates.answers(session, samples))
        return {
            source: noise_share(wanted, list(gates.answers(session, samples, _gates_of(gates, source))))
            for source in sources
        }


def _gates_of(gates: SwitchableRounding, source: str) -> list[int]:
    return [i for i, edge in enumerate(gates.edges) if edge.source == source]


def _differs(model: Model, plan: Plan, other: Plan, source: str) -> bool:
    """True when another plan has a clearly finer scale for an op's output."""
    keys = model.main.keys()
    for op in model.main.ops:
        if op.name == source:
            one, two = (p.graphs[0].tensors.get(keys[op.outputs[0]], {}) for p in (plan, other))
            return any(d in two and two[d].scale[0] < _SAME * s.scale[0] for d, s in one.items())
    return False

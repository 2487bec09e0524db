"""What a quantized source starts with: its scheme, its scales, and plans made of them without data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tightfit.errors import OptionError
from tightfit.graph.ir import Graph, Model
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.calibration.ranges import DEFAULT_OBSERVERS, Ranges
from tightfit.quantization.from_integers.promotion import promote
from tightfit.quantization.plan import FLOAT, INTEGER, UNPACKED, GraphPlan, Plan, Storage
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import Scheme

_BIASES: Final = ("int32", "int64")
_COARSE: Final = (
    "its activations have no more than the {bits} bits of their source, so nothing is gained there"
)


@dataclass
class Start:
    """A quantized file and the plan that it follows.

    Args:
        path: the quantized ``.tflite``.
        plan: faithful to it, for its float graph.
    """

    path: Path
    plan: Plan

    @property
    def activations(self) -> str | None:
        """The integer type of the source's activations, None where they are real."""
        return self.plan.scheme.activations

    def summary(self) -> str:
        """Return in a sentence what the source is."""
        held = sum(len(g.tensors) for g in self.plan.graphs)
        scales = f"{held} activations" if self.activations else "its weights"
        return f"The source is quantized ({self.plan.scheme.name}); the scales of {scales} are its own."

    def limits(self, model: Model) -> dict[str, Range]:
        """Return the reals that the integers of each input stand for, by the input's tensor name.

        Args:
            model: the float graph.
        """
        keys = model.main.keys()
        forms = ((t.name, self.plan.graphs[0].tensors.get(keys[t])) for t in model.main.inputs)
        return {name: span(next(iter(form.values()))) for name, form in forms if form}


def span(storage: Storage) -> Range:
    """Return the reals that a storage's integers stand for.

    Example:
        >>> span(Storage("int8", (0.5,), (-128,)))
        (0.0, 127.5)
    """
    bottom, top = LIMITS[storage.dtype]
    if storage.dtype == "int16":
        bottom = -top
    return tuple(float(storage.scale[0]) * (q - storage.zero_point[0]) for q in (bottom, top))  # type: ignore[return-value]


def plan_from_start(
    model: Model, start: Start, scheme: Scheme, *, interface: str | None = None, integer_only: bool = False
) -> Plan:
    """Return the plan of a quantized source under a scheme, without data.

    Where the type of the activations stays, so do their scales. Another integer type gets ranges from them.
    Schemes with real activations are planned as for any float graph, whose weights keep their grid.

    Args:
        model: the float graph.
        start: what the source has.
        scheme: what is wanted.
        interface: type of inputs and outputs; None leaves those of the source.
        integer_only: see ``promote``.

    Raises:
        OptionError: the source has real activations, whose ranges nobody knows.
    """
    if scheme.activations == start.activations and (
        scheme.activations or scheme.name == start.plan.scheme.name
    ):
        return own_plan(model, start, interface=interface, integer_only=integer_only)
    if scheme.activations is None:
        return make_plan(model, scheme)
    if start.activations is None:
        raise OptionError(
            f"The source has integer weights beside float activations ({start.plan.scheme.name}), so "
            f"'{scheme.name}' needs sample inputs to calibrate with; pass --data (about 100 samples)."
        )
    plan = make_plan(model, scheme, known_ranges(start.plan))
    bits = 8 if start.activations == "int8" else 16
    plan.notes.append("ranges come from the source's scales: " + _COARSE.format(bits=bits))
    return plan


def own_plan(model: Model, start: Start, *, interface: str | None = None, integer_only: bool = False) -> Plan:
    """Return the source's own plan, with its float ops on integers where the kernels compute what it says.

    Args:
        model: the float graph.
        start: what the source has.
        interface: as in ``plan_from_start``.
        integer_only: see ``promote``.
    """
    plan = copy.deepcopy(start.plan)
    plan.notes += promote(model, plan, integer_only=integer_only)
    if interface is not None:
        for graph, decisions in zip(model.graphs[:1], plan.graphs[:1], strict=True):
            _set_interface(graph, decisions, interface)
    return plan


def _set_interface(graph: Graph, plan: GraphPlan, interface: str) -> None:
    keys = graph.keys()
    held = "int8" if interface == "uint8" else interface
    for tensor in (*graph.inputs, *graph.outputs):
        if tensor.dtype == "float32":
            able = interface == "float32" or held in plan.tensors.get(keys[tensor], {})
            plan.interface[keys[tensor]] = interface if able else "float32"


def known_ranges(plan: Plan) -> Ranges:
    """Return the ranges that the scales of a plan span, for every integer type.

    Args:
        plan: taken from a quantized source.
    """
    ranges = Ranges([])
    for index, graph in enumerate(plan.graphs):
        for key, forms in graph.tensors.items():
            low, high = span(next(iter(forms.values())))
            for dtype in DEFAULT_OBSERVERS:
                ranges.set(index, key, dtype, (low, high))
    return ranges


def demote(model: Model, plan: Plan, reasons: Mapping[str, str]) -> int:
    """Put ops back on float between their integers, in place; gives how many.

    Args:
        model: the float graph.
        plan: whose scales are a source's own.
        reasons: op's name → why.
    """
    count = 0
    for graph, decisions in zip(model.graphs, plan.graphs, strict=True):
        keys = graph.keys()
        for op, decision in zip(graph.ops, decisions.ops, strict=True):
            if decision.mode != INTEGER or decision.dtype is None or op.name not in reasons:
                continue
            held = [keys[t] for t in op.outputs if decision.dtype in decisions.tensors.get(keys[t], {})]
            decisions.held |= dict.fromkeys(held, decision.dtype)
            decision.constants = {i: s for i, s in decision.constants.items() if s.dtype not in _BIASES}
            decision.mode = UNPACKED if decision.constants else FLOAT
            decision.dtype, decision.reason, decision.wanted = None, reasons[op.name], True
            count += 1
    return count

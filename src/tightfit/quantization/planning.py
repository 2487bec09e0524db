"""Makes the ``Plan``: pure, from a float model, a scheme and the ranges that calibration saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tightfit.errors import ModelError, OptionError
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.quantization.constants import decide_constants
from tightfit.quantization.modes import Context, Override, decide_modes, real_inputs, real_outputs
from tightfit.quantization.observers import Range
from tightfit.quantization.parameters import Groups
from tightfit.quantization.plan import INTEGER, GraphPlan, OpPlan, Plan, Storage
from tightfit.quantization.ranges import Ranges
from tightfit.quantization.rules import find_rule
from tightfit.quantization.scheme import Scheme, find_scheme

Overrides = Iterable[Override | tuple[str, str]]


def make_plan(
    model: Model,
    scheme: Scheme | str,
    ranges: Ranges | Mapping[str, Range] | None = None,
    *,
    overrides: Overrides = (),
) -> Plan:
    """Gives the plan of a model under a scheme; the model is not changed.

    Args:
        model: a float model (see ``graph.passes.clean``).
        scheme: a ``Scheme`` or its name.
        ranges: what calibration saw, or tensor key → (low, high) for the main graph.
        overrides: ordered (op name or kind, scheme or ``float``); the first that matches an op counts.

    Raises:
        ModelError: the model is already quantized.
        OptionError: an override names no op or an unknown scheme.
    """
    wanted = find_scheme(scheme) if isinstance(scheme, str) else scheme
    given = ranges if isinstance(ranges, Ranges) else Ranges.given(ranges or {})
    rules = tuple(o if isinstance(o, Override) else Override(*o) for o in overrides)
    refuse_quantized(model)
    _check_overrides(model, rules)
    plan = Plan(wanted, [])
    for index, graph in enumerate(model.graphs):
        context = Context(index, wanted, rules, given, graph.keys())
        plan.graphs.append(_plan_graph(graph, context, plan.notes))
    return plan


def refuse_quantized(model: Model) -> None:
    """Checks that a model is still float.

    Raises:
        ModelError: tensors already stand for reals by integers; the sentence names one.
    """
    for graph in model.graphs:
        for tensor in graph.tensors():
            if tensor.is_quantized and tensor.dtype in ("int8", "uint8", "int16", "int4", "int2", "int32"):
                raise ModelError(
                    f"The model is already quantized: '{tensor.name}' is {tensor.dtype} with a scale. "
                    "Give the float model it was made from."
                )


def _check_overrides(model: Model, overrides: tuple[Override, ...]) -> None:
    for override in overrides:
        if override.scheme != "float":
            find_scheme(override.scheme)
        if not any(override.matches(op) for graph in model.graphs for op in graph.ops):
            raise OptionError(
                f"The override '{override.pattern}' matches no op. Use an op's name or kind as "
                "'tightfit inspect' prints them; * and ? are allowed."
            )


def _plan_graph(graph: Graph, context: Context, notes: list[str]) -> GraphPlan:
    plans = decide_modes(graph, context)
    groups = Groups(graph, plans, context)
    storages = groups.resolve()
    tensors: dict[str, dict[str, Storage]] = {}
    for (tensor, dtype), storage in storages.items():
        if tensor.is_constant:
            continue
        tensors.setdefault(context.keys[tensor], {})[dtype] = storage
    for (op, position), storage in groups.requantized().items():
        plans[graph.ops.index(op)].inputs[position] = storage
    for op, plan in zip(graph.ops, plans, strict=True):
        _constants(op, plan, context, storages)
        notes.extend(decide_constants(op, plan, _own_scheme(op, context), _activation(op, plan, storages)))
    return GraphPlan(plans, tensors, _interface(graph, context, plans))


def _own_scheme(op: Op, context: Context) -> Scheme:
    for override in context.overrides:
        if override.matches(op) and override.scheme != "float":
            return find_scheme(override.scheme)
    return context.scheme


def _constants(
    op: Op, plan: OpPlan, context: Context, storages: dict[tuple[Tensor, str], Storage]
) -> None:
    """Constants that an integer op reads like activations (the addend of an ADD) are stored as such."""
    if plan.mode != INTEGER or plan.dtype is None:
        return
    for position, tensor in real_inputs(op, find_rule(op.kind)):
        if tensor.is_constant:
            plan.constants[position] = plan.inputs.pop(position, storages[tensor, plan.dtype])


def _activation(op: Op, plan: OpPlan, storages: dict[tuple[Tensor, str], Storage]) -> Storage | None:
    rule = find_rule(op.kind)
    if plan.mode != INTEGER or rule is None or plan.dtype is None:
        return None
    tensor = op.input(rule.activation)
    return None if tensor is None else storages.get((tensor, plan.dtype))


def _interface(graph: Graph, context: Context, plans: list[OpPlan]) -> dict[str, str]:
    """The type in the file of each float input and output; float where no integer op touches it."""
    touched: set[Tensor] = set()
    for op, plan in zip(graph.ops, plans, strict=True):
        if plan.mode == INTEGER:
            rule = find_rule(op.kind)
            touched.update(t for _, t in (*real_inputs(op, rule), *real_outputs(op, rule)))
    # Only the main graph is called from outside; other graphs keep the types their callers know.
    wanted = context.scheme.interface if context.index == 0 else "float32"
    ends = [t for t in (*graph.inputs, *graph.outputs) if t.dtype == "float32"]
    return {context.keys[t]: wanted if t in touched else "float32" for t in ends}

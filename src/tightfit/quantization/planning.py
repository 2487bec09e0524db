"""Make the ``Plan`` from a float model, a scheme and calibrated ranges; a pure function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tightfit.errors import ModelError, OptionError
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.constants import decide_constants
from tightfit.quantization.grid import KEPT
from tightfit.quantization.groups import Groups
from tightfit.quantization.modes import NARROW, Context, Override, decide_modes, scheme_of
from tightfit.quantization.ops.rule_lookup import find_rule, real_inputs
from tightfit.quantization.parameters import Parameters
from tightfit.quantization.plan import INTEGER, GraphPlan, OpPlan, Plan, Storage
from tightfit.quantization.refusals import cell_storage
from tightfit.quantization.scheme import Scheme, find_op_scheme, find_scheme

Overrides = Iterable[Override | tuple[str, str]]


def make_plan(
    model: Model,
    scheme: Scheme | str,
    ranges: Ranges | Mapping[str, Range] | None = None,
    *,
    overrides: Overrides = (),
) -> Plan:
    """Return the plan of a model under a scheme; the model is not changed.

    Args:
        model: a float model (see ``graph.passes.clean.clean``).
        scheme: a ``Scheme`` or its name.
        ranges: calibrated ranges, or tensor key → (low, high) for the main graph.
        overrides: ordered (op name or kind, scheme or ``float``); the first that matches an op counts.

    Raises:
        ModelError: the model is already quantized.
        OptionError: an override matches no op or has an unknown scheme.
        QuantizationError: an input of the model was NaN or infinite in every sample.
    """
    wanted = find_scheme(scheme) if isinstance(scheme, str) else scheme
    given = ranges if isinstance(ranges, Ranges) else Ranges.given(ranges or {})
    rules = check_overrides(model, overrides)
    refuse_quantized(model)
    plan = Plan(wanted, [])
    widened: list[int] = []
    for index, graph in enumerate(model.graphs):
        context = Context(index, wanted, rules, given, graph.keys())
        plan.graphs.append(_plan_graph(graph, context, widened))
        plan.notes += _interface_notes(graph, context, plan.graphs[-1])
    plan.notes += _widening_note(widened) + _narrow_note(plan) + _grid_note(plan) + _bad_sample_note(given)
    return plan


def refuse_quantized(model: Model) -> None:
    """Check that a model is not quantized.

    Raises:
        ModelError: a tensor is quantized; the message names it.
    """
    for graph in model.graphs:
        for tensor in graph.tensors():
            if tensor.is_quantized and tensor.dtype in ("int8", "uint8", "int16", "int4", "int2", "int32"):
                raise ModelError(
                    f"The model is already quantized: '{tensor.name}' is {tensor.dtype} with a scale. "
                    "Give the float model it was made from."
                )


def check_overrides(model: Model, overrides: Overrides) -> tuple[Override, ...]:
    """Return the overrides as ``Override`` objects.

    Args:
        model: the float model.
        overrides: ``Override`` objects or (pattern, scheme) pairs.

    Raises:
        OptionError: an override is not a pair, matches no op of the model or has an unknown scheme.
    """
    return tuple(_check_override(model, override) for override in overrides)


def _check_override(model: Model, given: Override | tuple[str, str]) -> Override:
    if not isinstance(given, Override) and not (len(given) == 2 and all(isinstance(g, str) for g in given)):
        raise OptionError(f"An override is a pair (op name or kind, scheme or 'float'); received {given!r}.")
    override = given if isinstance(given, Override) else Override(*given)
    if override.scheme != "float":
        find_op_scheme(override.scheme)
    if not override.is_optional and not any(
        override.matches(op) for graph in model.graphs for op in graph.ops
    ):
        raise OptionError(
            f"The override '{override.pattern}' matches no op. Use an op's name or kind as "
            "'tightfit inspect' prints them; * and ? are allowed."
        )
    return override


def _plan_graph(graph: Graph, context: Context, widened: list[int]) -> GraphPlan:
    """Plan one graph; append the number of widened channels of each op with any to ``widened``."""
    plans = decide_modes(graph, context)
    parameters = Parameters(Groups(graph, plans, context))
    tensors: dict[str, dict[str, Storage]] = {}
    for tensor, storage in parameters.storages():
        tensors.setdefault(context.keys[tensor], {})[storage.dtype] = storage
    requantized = parameters.requantized()
    for op, plan in zip(graph.ops, plans, strict=True):
        _operands(op, plan, parameters, requantized)
        rule = find_rule(op.kind)
        if rule is not None and rule.cell is not None and plan.mode == INTEGER:
            limits = context.range_of(op.operand(rule.cell), "int16") or (-1.0, 1.0)
            plan.inputs[rule.cell] = cell_storage(limits)
        activation = None if rule is None else parameters.storage_of(op, rule.activation)
        channels = decide_constants(op, plan, scheme_of(op, context)[0] or context.scheme, activation)
        widened += [channels] if channels else []
    return GraphPlan(plans, tensors, _interface(graph, context, tensors))


def _operands(
    op: Op, plan: OpPlan, parameters: Parameters, requantized: dict[tuple[Op, int], Storage]
) -> None:
    """Store constants that an integer op reads like activations (the addend of an ADD) as activations."""
    if plan.mode != INTEGER:
        return
    for position, tensor in real_inputs(op, find_rule(op.kind)):
        storage = parameters.storage_of(op, position)
        if tensor.is_constant and storage is not None:
            plan.constants[position] = storage
        elif (op, position) in requantized:
            plan.inputs[position] = requantized[op, position]


def _interface(graph: Graph, context: Context, tensors: dict[str, dict[str, Storage]]) -> dict[str, str]:
    """The type in the file of each float input and output; float where no integer op reads or writes it."""
    # Only the main graph has an interface; other graphs keep the types that their callers expect.
    wanted = context.scheme.interface if context.index == 0 else "float32"
    held_as = "int8" if wanted == "uint8" else wanted
    ends = [context.keys[t] for t in _float_ends(graph)]
    return {key: wanted if held_as in tensors.get(key, {}) else "float32" for key in ends}


def _float_ends(graph: Graph) -> list[Tensor]:
    """The float inputs and outputs of a graph, each once, without constant outputs."""
    ends = dict.fromkeys([*graph.inputs, *graph.outputs])
    return [t for t in ends if t.dtype == "float32" and not t.is_constant]


# -- notes -----------------------------------------------------------------------------------------


def _interface_notes(graph: Graph, context: Context, plan: GraphPlan) -> list[str]:
    wanted = context.scheme.interface
    if wanted == "float32" or context.index != 0:
        return []
    decisions = dict(zip(graph.ops, plan.ops, strict=True))
    reasons: dict[str, list[str]] = {}
    for tensor in _float_ends(graph):
        if plan.interface[context.keys[tensor]] == "float32":
            why = _float_neighbour(graph, tensor, decisions)
            reasons.setdefault(why, []).append(f"'{tensor.name}'")
    return [
        f"{', '.join(names)} {'stays' if len(names) == 1 else 'stay'} float32 instead of {wanted}: {why}"
        for why, names in reasons.items()
    ]


def _float_neighbour(graph: Graph, end: Tensor, decisions: Mapping[Op, OpPlan]) -> str:
    """Why an input or output is float: the op that gives or takes it, and why that op computes in float."""
    near = [op for op in graph.ops if end in op.inputs] if end.producer is None else [end.producer]
    op = next((o for o in near if decisions[o].mode != INTEGER), None)
    if op is None:
        return "no op of the model computes with it"
    reason, verb = decisions[op].reason, "takes" if end.producer is None else "gives"
    computes = f"{op.kind} '{op.name}', which {verb} it, computes in float"
    return f"{computes} ({reason})" if reason else computes


def _widening_note(widened: list[int]) -> list[str]:
    if not widened:
        return []
    ops = f"{len(widened)} op{'s' if len(widened) > 1 else ''}"
    channels = f"{sum(widened)} dead channel{'s' if sum(widened) > 1 else ''}"
    return [f"in {ops} the weight scale of {channels} was widened so that their bias fits int32"]


def _narrow_note(plan: Plan) -> list[str]:
    """A sentence where a scheme of few bits stores no weights in them."""
    ops = [op for op in plan.ops() if op.constants]
    stored = {s.dtype for op in ops for s in op.constants.values()}
    if plan.scheme.weights not in NARROW or stored & set(NARROW):
        return []
    reasons = Counter(op.reason for op in ops if op.reason and 1 in op.constants)
    why = f": {reasons.most_common(1)[0][0]}" if reasons else ""
    return [f"no weights are stored in {plan.scheme.weights.removeprefix('int')} bits{why}"]


def _grid_note(plan: Plan) -> list[str]:
    count = sum(any(s.reason == KEPT for s in op.constants.values()) for op in plan.ops())
    if not count:
        return []
    weights = "weights of 1 op stand" if count == 1 else f"weights of {count} ops stand"
    return [
        f"the {weights} on a grid already (fake-quantized, or quantized before); it is kept, nothing is lost"
    ]


def _bad_sample_note(ranges: Ranges) -> list[str]:
    keys = ranges.partly_bad(0)
    if not keys:
        return []
    which = f"'{keys[0]}'" + (f" and {len(keys) - 1} more tensors" if len(keys) > 1 else "")
    return [f"samples in which {which} held NaN or infinity were left out of the calibration"]

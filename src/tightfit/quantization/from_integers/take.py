"""Takes a quantized model apart: the float graph that its integers stand for, and the ``Plan`` they follow.

Every scale of the plan is the file's own, so ``apply_plan`` of the two gives the same integers again. What
the file computes on integers stays so; ``promotion`` decides about ops that stand between a DEQUANTIZE and a
QUANTIZE.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.scheme_detection import describe_scheme
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.from_integers.chains import Chains, collapse
from tightfit.quantization.from_integers.held import reals_of, stands_for_reals, storage_of
from tightfit.quantization.ops.rule_lookup import find_rule
from tightfit.quantization.plan import (
    EXACT,
    FLOAT,
    HYBRID,
    INTEGER,
    UNPACKED,
    GraphPlan,
    OpPlan,
    Plan,
    Storage,
)
from tightfit.quantization.scheme import SCHEMES, Scheme

_BIAS_TYPES: Final = ("int32", "int64")
_ACTIVATIONS: Final = ("int8", "int16")
_RELU: Final = 1  # ActivationFunctionType.RELU in schema.fbs
_FUSES: Final = {
    "ADD": "AddOptions", "CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions", "MUL": "MulOptions", "SUB": "SubOptions",
}  # fmt: skip


@dataclass
class Taken:
    """A quantized model, taken apart.

    Args:
        model: the float graph.
        plan: its own, faithful to the file.
        notes: what could not be taken as it was.
    """

    model: Model
    plan: Plan
    notes: list[str] = field(default_factory=list)


def take_plan(model: Model) -> Taken:
    """Return the float graph of a quantized model and the plan that leads back to it.

    Args:
        model: with integers that stand for reals, dense; it is not changed.

    Raises:
        ModelError: a tensor is stored in a way that no plan describes.
    """
    scheme = _scheme(model)
    twin = copy_model(model)
    plan = Plan(scheme, [], pinned=True)
    notes: list[str] = []
    for graph in twin.graphs:
        plan.graphs.append(_Graph(graph).plan(notes))
        _restore_relus(graph, plan.graphs[-1])
    return Taken(twin, plan, notes)


def _scheme(model: Model) -> Scheme:
    """The scheme that the integers of activations and weights are of, or one that describes a mixture."""
    name = describe_scheme(model)
    written = [t for graph in model.graphs for op in graph.ops for t in op.outputs if stands_for_reals(t)]
    held = Counter("int16" if t.dtype == "int16" else "int8" for t in written if not _is_weight_copy(t))
    if held:
        narrow = name in ("weight4", "int8x4")
        name = "int16x8" if held["int16"] > held["int8"] else "int8x4" if narrow else "int8"
    return SCHEMES.get(name) or Scheme(name, "float", "int8", summary="as the source has it")


def _is_weight_copy(tensor: Tensor) -> bool:
    """True for a constant that an op only moves."""
    op = tensor.producer
    return op is not None and all(t is None or t.is_constant for t in op.inputs)


class _Graph:
    """One graph on its way from integers to reals."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.storages = {t: storage_of(t) for t in graph.tensors() if stands_for_reals(t)}
        self.constants = {t for t in self.storages if t.is_constant}
        self.types = {t: t.dtype for t in self.storages}
        self.direct = {op: _direct(op) for op in graph.ops}
        self.chains: Chains = collapse(graph, self.storages)
        self.written = self._written()

    def _written(self) -> dict[Tensor, Storage]:
        """The storage of each value that an integer op writes or a caller gives as integers."""
        written = {t: self.storages[t] for t in self.graph.inputs if t in self.storages}
        for op in self.graph.ops:
            for held, tensor in zip(self.direct.get(op, ((), ()))[1], op.outputs, strict=False):
                if held in self.storages:
                    written[tensor] = self.storages[held]
        return written

    def plan(self, notes: list[str]) -> GraphPlan:
        """The decisions; the graph's tensors hold reals afterwards."""
        plans = [self._op(op) for op in self.graph.ops]
        self._to_reals()
        made = GraphPlan(plans)
        keys = self.graph.keys()
        by_op = dict(zip(self.graph.ops, plans, strict=True))
        for tensor in self.graph.tensors():
            if not tensor.is_constant and tensor.dtype == "float32":
                self._activation(tensor, keys[tensor], made, by_op)
        for tensor in (*self.graph.inputs, *self.graph.outputs):
            made.interface[keys[tensor]] = self.types.get(tensor, "float32")
        notes += self._merged_roundings()
        return made

    # -- ops -----------------------------------------------------------------------------------

    def _op(self, op: Op) -> OpPlan:
        plan = OpPlan(op.name, op.kind, EXACT)
        read, wrote = self.direct.get(op, ((), ()))
        held = [
            self.storages[t].dtype for t in (*wrote, *read) if t in self.storages and t not in self.constants
        ]
        types = [d for d in held if d in _ACTIVATIONS]
        positions = [(i, t) for i, t in enumerate(op.inputs) if t is not None and t in self.constants]
        plan.constants = {i: self.storages[t] for i, t in positions}
        if types:
            plan.mode, plan.dtype = INTEGER, types[0]
            _long_bias(op, plan)
        elif positions:
            unpacked = all((op, i) in self.chains.unpacked for i, _ in positions)
            plan.mode = UNPACKED if unpacked else HYBRID
            plan.constants = {i: s for i, s in plan.constants.items() if s.dtype not in _BIAS_TYPES}
        if plan.mode == EXACT and any(
            t is not None and t.dtype == "float32" for t in (*op.inputs, *op.outputs)
        ):
            plan.mode = FLOAT
        return plan

    def _to_reals(self) -> None:
        shared: dict[tuple[int, Storage], Tensor] = {}
        for tensor in self.graph.tensors():
            if tensor not in self.storages:
                continue
            if tensor.data is not None:
                key = tensor.data.__array_interface__["data"][0], self.storages[tensor]
                twin = shared.setdefault(key, tensor)
                tensor.data = reals_of(tensor) if twin is tensor else twin.data
            tensor.dtype, tensor.quantization = "float32", None
        for op in self.graph.ops:
            op.version = 0  # the least that the float form needs

    # -- values --------------------------------------------------------------------------------

    def _activation(self, tensor: Tensor, key: str, made: GraphPlan, by_op: dict[Op, OpPlan]) -> None:
        """Record in which integers a value is stored, and which readers take it in others."""
        reads = {r: self.chains.reads.get(r, [])[-1:] for r in tensor.consumers}
        given = self.chains.gives.get(tensor, [])[-1:] if tensor in self.graph.outputs else None
        taken = [*reads.values(), *([] if given is None else [given])]
        base = self.written.get(tensor)
        if base is None:
            counts = Counter(path[0] for path in taken if path)
            if not counts:
                return
            base = counts.most_common(1)[0][0]
            if tensor.producer is not None and all(path and path[0] == base for path in taken):
                made.held[key] = base.dtype
        made.tensors[key] = {base.dtype: base}
        in_base = tensor in self.written or key in made.held
        for (op, position), path in reads.items():
            wanted = path[0] if path else base
            if by_op[op].mode != INTEGER and not path:
                continue
            if wanted != base or (by_op[op].mode != INTEGER and not in_base):
                by_op[op].inputs[position] = wanted

    def _merged_roundings(self) -> Iterable[str]:
        for (op, _), path in self.chains.reads.items():
            distinct = [s for i, s in enumerate(path) if i == 0 or s != path[i - 1]]
            if len(distinct) > 1 and op.graph is self.graph:
                yield (
                    f"{op.kind} '{op.name}' reads a value that was rounded to {len(distinct)} scales in a "
                    "row; only the last is kept (at most one step)"
                )


def _restore_relus(graph: Graph, plan: GraphPlan) -> None:
    """A value that is held with its zero at the lowest integer saturates there: the float op needs a RELU."""
    keys = graph.keys()
    for op, decision in zip(graph.ops, plan.ops, strict=True):
        if op.kind not in _FUSES or op.options.get("fusedActivationFunction", 0):
            continue
        key = keys[op.outputs[0]]
        dtype = decision.dtype if decision.mode == INTEGER else plan.held.get(key)
        storage = plan.tensors.get(key, {}).get(dtype or "")
        if storage is not None and storage.zero_point[0] == LIMITS[storage.dtype][0]:
            op.options["fusedActivationFunction"] = _RELU
            op.options_type = op.options_type or _FUSES[op.kind]


def _direct(op: Op) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The quantized tensors that an op reads and writes itself."""
    return tuple(t for t in op.inputs if t is not None), tuple(op.outputs)


def _long_bias(op: Op, plan: OpPlan) -> None:
    """int16 ops get their int64 bias back; a layout shortens it where that pays."""
    rule = find_rule(op.kind)
    bias = None if rule is None or rule.bias is None else plan.constants.get(rule.bias)
    if rule is not None and rule.bias is not None and bias is not None and plan.dtype == "int16":
        plan.constants[rule.bias] = replace(bias, dtype="int64")
        op.options.pop("quantizedBiasType", None)

"""Float ops between integers become integer ops where the kernel computes what the source says.

A plan that was taken from DEQUANTIZE, op, QUANTIZE computes in float, exactly. Here each op that
``promotion_table`` knows, and whose scales its kernel takes, is put on integers with those very scales; every
other op keeps its float form, with the reason.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.quantization.from_integers.operands import Refusal, constant_operand, decide_weights
from tightfit.quantization.from_integers.promotion_table import (
    EXACT_IN_FLOAT,
    MONOTONE,
    PROMOTIONS,
    Promotion,
)
from tightfit.quantization.ops.op_rule import OpRule, least_output_scale
from tightfit.quantization.ops.rule_lookup import (
    find_rule,
    real_inputs,
    real_outputs,
    shared_inputs,
)
from tightfit.quantization.plan import EXACT, FLOAT, INTEGER, UNPACKED, GraphPlan, OpPlan, Plan, Storage

_UNKNOWN: Final = Promotion("", steps=1)


def promote(model: Model, plan: Plan, *, integer_only: bool = False) -> list[str]:
    """Put float ops between integers on integer kernels, in place, with the scales that the plan has.

    Args:
        model: the float graph.
        plan: taken from its quantized source; changed in place.
        integer_only: the device has no float: ops that would be exact in float only get the nearest integer
            form, and a note says so.

    Returns:
        What differs from the source, one sentence an op.
    """
    notes: list[str] = []
    for graph, decisions in zip(model.graphs, plan.graphs, strict=True):
        notes += _Promoter(graph, decisions, integer_only=integer_only).run()
    return notes


class _Promoter:
    """One graph and its decisions."""

    def __init__(self, graph: Graph, plan: GraphPlan, *, integer_only: bool) -> None:
        self.graph, self.plan, self.integer_only = graph, plan, integer_only
        self.keys = graph.keys()
        self.plans = dict(zip(graph.ops, plan.ops, strict=True))
        self.notes: list[str] = []

    def run(self) -> list[str]:
        for op in reversed(self.graph.ops):
            self._raise(op)
        for op in self.graph.ops:
            self._spread(op)
        for op, plan in self.plans.items():
            if plan.mode not in (FLOAT, UNPACKED):
                continue
            try:
                self._promote(op, plan)
            except Refusal as reason:
                plan.reason, plan.wanted = str(reason), True
        return self.notes

    # -- where values are held -----------------------------------------------------------------

    def held(self, tensor: Tensor) -> Storage | None:
        """The integers in which a value is held before it is read, None for reals."""
        key = self.keys[tensor]
        forms = self.plan.tensors.get(key, {})
        if key in self.plan.held:
            return forms[self.plan.held[key]]
        writer = None if tensor.producer is None else self.plans[tensor.producer]
        if writer is not None and writer.mode == INTEGER and writer.dtype in forms:
            return forms[writer.dtype]
        given = tensor.producer is None and self.plan.interface.get(key, "float32") != "float32"
        return next(iter(forms.values()), None) if given else None

    def read(self, op: Op, position: int) -> Storage | None:
        """The integers in which an op takes an input, None for reals."""
        tensor = op.operand(position)
        return self.plans[op].inputs.get(position) or self.held(tensor)

    def _hold(self, tensor: Tensor, storage: Storage) -> None:
        self.plan.tensors[self.keys[tensor]] = {storage.dtype: storage}
        self.plan.held[self.keys[tensor]] = storage.dtype

    def _raise(self, op: Op) -> None:
        """A QUANTIZE behind an op that only selects or clips also stands before it."""
        if op.kind not in MONOTONE or self.plans[op].mode not in (FLOAT, EXACT) or len(op.outputs) != 1:
            return
        storage = self.held(op.outputs[0])
        if storage is None:
            return
        for _, tensor in real_inputs(op, find_rule(op.kind)):
            free = self.keys[tensor] not in self.plan.tensors and tensor not in self.graph.outputs
            if free and tensor.producer is not None and len(tensor.consumers) == 1:
                self._hold(tensor, storage)

    def _spread(self, op: Op) -> None:
        """What an op selects from rounded values is rounded already."""
        if op.kind not in MONOTONE or self.plans[op].mode not in (FLOAT, UNPACKED):
            return
        rule = find_rule(op.kind)
        shared = {} if rule is None else shared_inputs(op, rule)
        moved = [
            (i, t)
            for i, t in real_inputs(op, rule)
            if i in shared and (not t.is_constant or len(shared) == 1)
        ]
        read = {self._operand(op, i, t) for i, t in moved}
        storage = next(iter(read), None)
        if len(read) != 1 or storage is None:
            return
        for _, tensor in real_outputs(op, rule):
            if self.keys[tensor] not in self.plan.tensors:
                self._hold(tensor, storage)

    def _operand(self, op: Op, position: int, tensor: Tensor) -> Storage | None:
        if tensor.is_constant:
            return self.plans[op].constants.get(position)
        return self.read(op, position)

    # -- one op --------------------------------------------------------------------------------

    def _promote(self, op: Op, plan: OpPlan) -> None:
        """Puts one op on integers.

        Raises:
            Refusal: with the reason, where it stays in float.
        """
        rule = find_rule(op.kind)
        outputs = [] if rule is None else [t for _, t in real_outputs(op, rule)]
        held = [self.held(t) for t in outputs]
        read = [] if rule is None else [(i, t, self._operand(op, i, t)) for i, t in real_inputs(op, rule)]
        if not any(s for _, _, s in read):
            return  # it reads no integers: float in the source as well
        if rule is None or not outputs:
            raise Refusal(f"no integer kernel with scales of one's own; {EXACT_IN_FLOAT}")
        missing = [t.name for t, s in zip(outputs, held, strict=True) if s is None]
        missing += [t.name for _, t, s in read if s is None and not t.is_constant]
        if missing:
            raise Refusal(f"the source has no scale for '{missing[0]}'; it {EXACT_IN_FLOAT}")
        storages = [s for s in held if s is not None]
        dtype = storages[0].dtype
        row = self._row(op, dtype)
        wanted = self._output_storages(op, rule, row, storages)
        inputs, constants = self._inputs(op, rule, row, read, wanted[0])
        weights = decide_weights(op, plan, rule, dtype, inputs, zero_point=row.zero_point)
        _check_multiplier(rule, dtype, [*inputs.values(), *constants.values()], weights.largest, wanted)
        self.notes += weights.notes
        plan.mode, plan.dtype, plan.reason, plan.wanted = INTEGER, dtype, "", False
        plan.constants = constants | weights.constants
        self._settle(op, plan, inputs, outputs, storages, wanted)

    def _row(self, op: Op, dtype: str) -> Promotion:
        row = PROMOTIONS.get(op.kind)
        rule = find_rule(op.kind)
        steps = None if row is None else row.steps if dtype == "int8" else row.int16
        if rule is None or rule.version(dtype) is None:
            raise Refusal(f"no {dtype} kernel; it {EXACT_IN_FLOAT}")
        if row is None or steps is None:
            if not self.integer_only:
                raise Refusal(f"its {dtype} kernel is not exact; it {EXACT_IN_FLOAT}")
            self.notes.append(f"{op.kind} '{op.name}' runs on integers, where float would be exact")
            return row or _UNKNOWN
        return row

    def _output_storages(self, op: Op, rule: OpRule, row: Promotion, held: list[Storage]) -> list[Storage]:
        """What the kernel writes: the source's scale, or the kernel's own where only integers are taken."""
        dtype = held[0].dtype
        if len({(s.dtype, s.scale, s.zero_point) for s in held}) > 1 and rule.same_scale:
            raise Refusal(f"its outputs have several scales; it {EXACT_IN_FLOAT}")
        fixed = rule.fixed_output.get(dtype)
        if fixed is None or (row.any_output and dtype == "int8"):
            return held
        kernel = Storage(dtype, (float(np.float32(fixed[0])),), (fixed[1],), reason="fixed by the kernel")
        if all(s == kernel for s in held):
            return held
        if not self.integer_only:
            raise Refusal(f"{row.reason}; it {EXACT_IN_FLOAT}")
        scale = held[0].scale[0]
        self.notes.append(
            f"{op.kind} '{op.name}': its kernel writes the scale {kernel.scale[0]:.6g}, the source has "
            f"{scale:.6g}; it is rounded twice (1 step)"
        )
        return [kernel for _ in held]

    def _inputs(
        self,
        op: Op,
        rule: OpRule,
        row: Promotion,
        read: list[tuple[int, Tensor, Storage | None]],
        out: Storage,
    ) -> tuple[dict[int, Storage], dict[int, Storage]]:
        """The storage of each activation that is read, and of each constant that is read like one."""
        shared = shared_inputs(op, rule)
        inputs: dict[int, Storage] = {}
        constants: dict[int, Storage] = {}
        for position, tensor, storage in read:
            if tensor.is_constant:
                own = out if position in shared and storage is None else storage
                constants[position] = constant_operand(tensor, own, out.dtype)
                held = constants[position]
            else:
                assert storage is not None  # noqa: S101 - _promote refused what has none
                held = inputs[position] = storage
            if held.dtype != out.dtype:
                raise Refusal(f"its tensors are {held.dtype} and {out.dtype}; it {EXACT_IN_FLOAT}")
            if position not in shared or _same(held, out):
                continue
            if row.equal and not self.integer_only:
                raise Refusal(f"{row.reason}; it {EXACT_IN_FLOAT}")
            if tensor.is_constant:
                raise Refusal(
                    f"its constant '{tensor.name}' has another scale than its output; it {EXACT_IN_FLOAT}"
                )
            inputs[position] = out
        return inputs, constants

    def _settle(
        self, op: Op, plan: OpPlan, inputs: dict[int, Storage], outputs: list[Tensor],
        held: list[Storage], wanted: list[Storage],
    ) -> None:  # fmt: skip
        """Writes the decision into the plan: the op's own forms, and who reads what it writes."""
        plan.inputs = {}
        for position, storage in inputs.items():
            tensor = op.operand(position)
            forms = self.plan.tensors.setdefault(self.keys[tensor], {})
            if forms.setdefault(storage.dtype, storage) != storage:
                plan.inputs[position] = storage
        for tensor, old, new in zip(outputs, held, wanted, strict=True):
            self.plan.held.pop(self.keys[tensor], None)
            self.plan.tensors[self.keys[tensor]] = {new.dtype: replace(new, reason=old.reason)}
            if not _same(old, new):
                for reader, position in tensor.consumers:
                    self.plans[reader].inputs.setdefault(position, old)


def _check_multiplier(
    rule: OpRule, dtype: str, read: list[Storage], weight: list[float], out: list[Storage]
) -> None:
    least = least_output_scale(rule, dtype, [s.scale[0] for s in read] + weight)
    if any(s.scale[0] < least for s in out):
        raise Refusal(f"its output's scale is finer than its kernel takes; it {EXACT_IN_FLOAT}")


def _same(a: Storage, b: Storage) -> bool:
    return (a.dtype, a.scale, a.zero_point) == (b.dtype, b.scale, b.zero_point)

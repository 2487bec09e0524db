"""Read an integer file, written by any tool, as a float graph and a plan.

A QUANTIZE becomes the storage of its readers' inputs, a DEQUANTIZE is removed, and constants become their
real values. Ops that compute in float in the file (float islands, dynamic range) compute in float here.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.errors import ModelError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Op, Tensor
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.ops.rule_lookup import find_rule
from tightfit.quantization.plan import FLOAT, INTEGER, GraphPlan, OpPlan, Plan, Storage
from tightfit.quantization.scheme import SCHEMES
from tightfit.training.graph_weights import real_constant

_HELD: Final = ("int8", "int16")
_CONVERTS: Final = frozenset({"QUANTIZE", "DEQUANTIZE", "DENSIFY"})


def is_integer(model: Model) -> bool:
    """Return True when an op of the main graph writes quantized integers."""
    return any(_storage(t) is not None for op in model.main.ops for t in op.outputs)


def as_float(file: Model) -> tuple[Model, Plan]:
    """Return the float graph and the plan of an integer file; tensors keep their names.

    Raises:
        ModelError: no op of the file computes in integers.
    """
    if not is_integer(file):
        raise ModelError("The file computes on no integers, so there is nothing to simulate; name a scheme.")
    return _Reading(copy_model(file)).run()


class _Reading:
    """Converts a model to float in place and collects its plan."""

    def __init__(self, model: Model) -> None:
        self.model, self.graph = model, model.main
        self.stored = {t: s for t in self.graph.tensors() if (s := _storage(t)) is not None}
        self.forms: dict[Tensor, dict[str, Storage]] = {}
        self.decisions: dict[Op, OpPlan] = {}

    def run(self) -> tuple[Model, Plan]:
        interface = {t: t.dtype for t in (*self.graph.inputs, *self.graph.outputs) if t in self.stored}
        for op in self.graph.ops:
            self.decisions[op] = self.decide(op)
        for tensor in self.graph.tensors():
            self.lift(tensor)
        for op in list(self.graph.ops):
            if op.kind in _CONVERTS:
                self.take_out(op)
        keys = self.graph.keys()
        plan = GraphPlan(
            [self.decisions[op] for op in self.graph.ops],
            {keys[t]: forms for t, forms in self.forms.items() if t in keys},
            {keys[t]: dtype for t, dtype in interface.items() if t in keys},
        )
        dtypes = {d.dtype for d in plan.ops if d.dtype}
        scheme = SCHEMES["int8" if dtypes == {"int8"} else "int16x8"]
        return self.model, Plan(scheme, [plan])

    def decide(self, op: Op) -> OpPlan:
        """Return the plan of an op: integer when it has a rule and reads or writes quantized integers."""
        held = [t for t in (*op.outputs, *op.inputs) if t in self.stored and not t.is_constant]
        if op.kind in _CONVERTS or not held or find_rule(op.kind) is None:
            return OpPlan(op.name, op.kind, FLOAT, "as in the file")
        constants = {i: self.stored[t] for i, t in enumerate(op.inputs) if t in self.stored and t.is_constant}
        dtype = _int8_grid(self.stored[held[0]]).dtype
        return OpPlan(op.name, op.kind, INTEGER, "as in the file", dtype, constants)

    def lift(self, tensor: Tensor) -> None:
        """Make a tensor float: a constant gets its real values, the storage of an activation is recorded."""
        storage = self.stored.get(tensor)
        if storage is None:
            return
        if tensor.is_constant:
            tensor.data, tensor.sparsity = real_constant(tensor), None
        elif storage.dtype in (*_HELD, "uint8"):
            held = _int8_grid(storage)
            self.forms[tensor] = {held.dtype: held}
        if tensor.producer is None or tensor.producer.kind != "QUANTIZE":
            tensor.dtype, tensor.quantization = "float32", None

    def take_out(self, op: Op) -> None:
        """Remove a conversion; a QUANTIZE that other than integer ops read is kept."""
        source, made = op.operand(0), op.outputs[0]
        if op.kind == "QUANTIZE":
            for reader, position in made.consumers.copy():
                if self.decisions[reader].mode == INTEGER:
                    self.rewire(reader, position, source, made)
            if made.consumers or made in self.graph.outputs:
                return
        elif made in self.graph.outputs:
            return
        else:
            self.graph.replace_uses(made, source)
        self.graph.remove(op)

    def rewire(self, reader: Op, position: int, source: Tensor, made: Tensor) -> None:
        """Connect an integer op to the source of a QUANTIZE, with the storage of the QUANTIZE's output.

        Args:
            reader: the op.
            position: its input position.
            source: the input of the QUANTIZE.
            made: the output of the QUANTIZE.
        """
        storage = _int8_grid(self.stored[made])
        known = self.forms.setdefault(source, {})
        if known.setdefault(storage.dtype, storage) != storage or (
            self.decisions[reader].dtype != storage.dtype
        ):
            self.decisions[reader].inputs[position] = storage
        self.graph.set_input(reader, position, source)


def _storage(tensor: Tensor) -> Storage | None:
    """The storage of a quantized tensor, None for others."""
    q = tensor.quantization
    if q is None or not q.is_affine or tensor.dtype not in LIMITS:
        return None
    axis = q.axis if q.scale.size > 1 else None
    narrow = False
    if tensor.is_constant and tensor.data is not None and tensor.sparsity is None:
        narrow = int(np.min(tensor.data, initial=0)) > LIMITS[tensor.dtype][0]
    scales, points = tuple(q.scale.tolist()), tuple(int(z) for z in q.zero_point)
    return Storage(tensor.dtype, scales, points, axis, narrow, "as in the file")


def _int8_grid(storage: Storage) -> Storage:
    """The int8 storage with the same real values as a uint8 storage."""
    if storage.dtype != "uint8":
        return storage
    points = tuple(z - 128 for z in storage.zero_point)
    return Storage("int8", storage.scale, points, storage.axis, storage.narrow, storage.reason)

"""Carries a ``Plan`` out: a new model with integer tensors, stored constants and the conversions between.

Decides nothing: every storage comes from the plan. How the result is arranged for a device is the
business of ``layouts``.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.errors import QuantizationError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.ops import sequence_lstm
from tightfit.quantization.integer_lstm import add_intermediates, finish_states
from tightfit.quantization.ops.rule_lookup import READS_ANY_TYPE, find_rule, real_outputs, weight_of
from tightfit.quantization.plan import HYBRID, INTEGER, UNPACKED, GraphPlan, OpPlan, Plan, Storage
from tightfit.quantization.storing import conversion, hold, quantization_of, shifted, store

# Of the ops whose options are set here; a file may leave out a table of defaults.
_OPTIONS_TYPES: Final = {
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
}


def apply_plan(model: Model, plan: Plan) -> Model:
    """Return a quantized copy of a model; names and order of inputs, outputs and signatures stay.

    Raises:
        QuantizationError: the plan was made for another model.
    """
    if len(plan.graphs) != len(model.graphs):
        raise QuantizationError(
            f"The plan has {len(plan.graphs)} graphs, the model {len(model.graphs)}; "
            "make a plan for this model."
        )
    twin = copy_model(model)
    for graph, decisions in zip(twin.graphs, plan.graphs, strict=True):
        _Application(graph, decisions).run()
    return twin


class _Application:
    """One graph and its decisions, with the constants and conversions made so far."""

    def __init__(self, graph: Graph, plan: GraphPlan) -> None:
        if len(plan.ops) != len(graph.ops):
            raise QuantizationError(
                f"The plan has {len(plan.ops)} ops, the graph '{graph.name}' {len(graph.ops)}; "
                "make a plan for this model."
            )
        self.graph = graph
        self.plan = plan
        self.keys = graph.keys()
        self.order = list(zip(list(graph.ops), plan.ops, strict=True))
        self.constants: dict[tuple[int, Storage, tuple[int, ...]], Tensor] = {}
        self.forms: dict[tuple[Tensor, Storage | None], Tensor] = {}
        self.held: dict[Tensor, Storage | None] = {}

    def run(self) -> None:
        originals = list(dict.fromkeys(self.graph.outputs))
        readers = {op: [(i, t) for i, t in enumerate(op.inputs) if t is not None] for op, _ in self.order}
        for tensor in dict.fromkeys(self.graph.inputs):
            self.take_input(tensor)
        for op, decision in self.order:
            self.store_constants(op, decision)
            self.convert_inputs(op, decision, readers[op])
            self.convert_outputs(op, decision)
            _set_options(op, decision)
            if op.kind == sequence_lstm.KIND:
                finish_states(self.graph, op)
                if decision.mode == INTEGER:
                    add_intermediates(op)
        for tensor in originals:
            self.give_output(tensor)

    # -- ends of the graph ---------------------------------------------------------------------

    def interface(self, tensor: Tensor) -> Storage | None:
        """How an input or output stands in the file, None for as it was."""
        dtype = self.plan.interface.get(self.keys[tensor], "float32")
        if dtype == "float32":
            return None
        # uint8 is int8 shifted by 128: same scale, so the conversion is exact.
        return shifted(self.storage(tensor, "int8")) if dtype == "uint8" else self.storage(tensor, dtype)

    def take_input(self, tensor: Tensor) -> None:
        """A float input keeps its name; in an integer file it is read as integers."""
        storage = self.interface(tensor)
        if storage is not None:
            hold(tensor, storage)
            self.held[tensor] = storage

    def give_output(self, tensor: Tensor) -> None:
        """A float output keeps its name and signature whatever the op before it writes."""
        wanted, held = self.interface(tensor), self.held.get(tensor)
        if wanted == held or tensor.producer is None:
            return
        inner = self.split(tensor, held)
        if wanted is None:
            tensor.dtype, tensor.quantization = "float32", None
        else:
            hold(tensor, wanted)
        self.graph.append(conversion(inner, tensor))
        self.held[tensor] = wanted

    def split(self, tensor: Tensor, storage: Storage | None) -> Tensor:
        """Return the tensor that takes the place of an output inside of the graph."""
        suffix = "float32" if storage is None else storage.dtype
        inner = Tensor(f"{tensor.name}_{suffix}", tensor.shape, shape_signature=tensor.shape_signature)
        if storage is not None:
            hold(inner, storage)
        producer = tensor.producer
        if producer is not None:
            self.graph.set_output(producer, producer.outputs.index(tensor), inner)
        self.graph.replace_uses(tensor, inner, outputs=False)
        return inner

    # -- ops -----------------------------------------------------------------------------------

    def convert_inputs(self, op: Op, decision: OpPlan, inputs: list[tuple[int, Tensor]]) -> None:
        wanting = _real_positions(op, inputs) if decision.mode == INTEGER else set()
        for position, tensor in inputs:
            if tensor.is_constant or position in decision.constants:
                continue
            if position in wanting:
                storage = decision.inputs.get(position) or self.storage(tensor, decision.dtype)
                self.graph.set_input(op, position, self.form(tensor, storage, op))
            elif op.kind not in READS_ANY_TYPE:
                rounded = decision.inputs.get(position)
                source = tensor if rounded is None else self.form(tensor, rounded, op)
                if self.held.get(source) is not None:
                    self.graph.set_input(op, position, self.form(source, None, op))

    def convert_outputs(self, op: Op, decision: OpPlan) -> None:
        if decision.mode != INTEGER:
            self.hold_outputs(op)
            return
        for _, tensor in real_outputs(op, find_rule(op.kind)):
            storage = self.storage(tensor, decision.dtype)
            self.held[tensor] = storage
            hold(tensor, storage)

    def hold_outputs(self, op: Op) -> None:
        """What a float op writes is rounded to integers where the plan holds it so."""
        for position, tensor in enumerate(list(op.outputs)):
            dtype = self.plan.held.get(self.keys[tensor])
            if dtype is None:
                continue
            raw = Tensor(f"{tensor.name}_raw", tensor.shape, shape_signature=tensor.shape_signature)
            self.graph.set_output(op, position, raw)
            self.held[tensor] = self.storage(tensor, dtype)
            hold(tensor, self.storage(tensor, dtype))
            self.graph.insert_after(op, conversion(raw, tensor))

    def storage(self, tensor: Tensor, dtype: str | None) -> Storage:
        try:
            return self.plan.tensors[self.keys[tensor]][dtype or "int8"]
        except KeyError as error:
            raise QuantizationError(
                f"The plan has no {dtype} storage for '{tensor.name}'; make a plan for this model."
            ) from error

    def form(self, tensor: Tensor, storage: Storage | None, reader: Op) -> Tensor:
        """Return the tensor in the type that an op reads: itself or a converted copy, one for all readers."""
        held = self.held.get(tensor)
        if storage == held:
            return tensor
        key = (tensor, storage)
        if key not in self.forms:
            suffix = storage.dtype if storage else "float32"
            name = f"{tensor.name}_{suffix}{'_rescaled' if storage and held else ''}"
            made = Tensor(name, tensor.shape, shape_signature=tensor.shape_signature)
            if storage is not None:
                hold(made, storage)
            self.graph.insert_before(reader, conversion(tensor, made))
            self.forms[key] = made
            self.held[made] = storage
        return self.forms[key]

    # -- constants -----------------------------------------------------------------------------

    def store_constants(self, op: Op, decision: OpPlan) -> None:
        for position, storage in decision.constants.items():
            source = op.input(position) or _missing_bias(op, storage)
            if source.data is None:
                raise QuantizationError(
                    f"The plan stores input {position} of {op!r}, which is not a constant."
                )
            stored = self.constant(source, storage, op)
            if decision.mode == UNPACKED:
                stored = self.unpacked(stored, source, op)
            self.graph.set_input(op, position, stored)

    def constant(self, source: Tensor, storage: Storage, op: Op) -> Tensor:
        """Return the stored twin of a constant; equal requests share it."""
        key = (source.values.__array_interface__["data"][0], storage, source.shape)
        if key not in self.constants:
            made = Tensor(source.name, source.shape, storage.dtype)
            made.data = store(source.values, storage, f"{op.kind} '{op.name}'")
            made.quantization = quantization_of(storage)
            self.constants[key] = made
        return self.constants[key]

    def unpacked(self, stored: Tensor, source: Tensor, op: Op) -> Tensor:
        """Return the float tensor behind a DEQUANTIZE of a stored constant."""
        key = (stored, None)
        if key not in self.forms:
            made = Tensor(f"{source.name}_float32", source.shape)
            self.graph.insert_before(op, conversion(stored, made))
            self.forms[key] = made
        return self.forms[key]


def _real_positions(op: Op, inputs: list[tuple[int, Tensor]]) -> set[int]:
    """The positions that carried reals before the op's tensors were converted."""
    rule = find_rule(op.kind)
    skipped = {weight_of(op, rule), *rule.unlike_activations()} - {rule.cell} if rule else set()
    return {i for i, t in inputs if i not in skipped and (t.dtype == "float32" or t.is_quantized)}


def _missing_bias(op: Op, storage: Storage) -> Tensor:
    """Zeros for the kernels that refuse an op without a bias."""
    channels = max(len(storage.scale), op.outputs[0].shape[-1])
    zeros = np.zeros(channels, np.float32)
    return Tensor(f"{op.name}/bias", zeros.shape, data=zeros)


def _set_options(op: Op, decision: OpPlan) -> None:
    """Sets the options and lets the writer choose the version of an op that changed."""
    if decision.mode not in (INTEGER, HYBRID):
        return
    op.version = 0
    rule = find_rule(op.kind)
    if decision.dtype == "int16" and rule is not None:
        op.options.update(rule.int16_options)
    elif decision.mode == HYBRID and op.kind in ("FULLY_CONNECTED", "BATCH_MATMUL"):
        # The kernels are exact for either; asymmetric inputs use all 256 steps of a one-sided range.
        op.options["asymmetricQuantizeInputs"] = True
    if op.options and op.options_type is None:
        op.options_type = _OPTIONS_TYPES.get(op.kind)

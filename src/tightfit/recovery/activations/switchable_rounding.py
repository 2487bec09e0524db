"""A float model with switchable fake-quantizers: an input of the model turns each rounding on or off.

A gate replaces one input x of one op by ``x + g · (round(x) − x)``, with LiteRT's own QUANTIZE and DEQUANTIZE
for ``round`` and g = 0 or 1. One loaded model then measures any set of roundings. No file is written again,
and the weights do not change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample
from tightfit.graph.copying import copy_model
from tightfit.graph.format.temporary_files import temporary_file
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.graph.signatures import input_names, output_names
from tightfit.quantization.arithmetic import dequantize
from tightfit.quantization.ops.data_movement import moves_data, source_tensor
from tightfit.quantization.ops.rule_lookup import find_rule, real_inputs, shared_inputs
from tightfit.quantization.plan import INTEGER, Plan, Storage
from tightfit.quantization.storing import conversion, hold, store
from tightfit.recovery.output_noise import Inputs
from tightfit.runtime.child.process import cores
from tightfit.runtime.session import Session
from tightfit.types import Array

INPUT: Final = "gates"

_Gate = tuple[Op | None, int, Tensor, Storage]
"""The op that reads a value and its input position; None and -1 for an output of the model."""


@dataclass(frozen=True)
class Edge:
    """One activation input of one op.

    Args:
        source: name of the op that computes the value, "" for an input or a constant of the model.
            Data-movement ops are skipped.
        reader: name of the op that reads it, "" for an output of the model.
        position: the input position of the reader, -1 for an output of the model.
    """

    source: str
    reader: str
    position: int


class SwitchableRounding:
    """The model with switchable fake-quantizers.

    Args:
        model: the float model; it is not changed.
        plan: a plan with every op that has a kernel on integers of ``dtype``; its storages give the grids.
        dtype: the integer type of the roundings.
        outputs: also round the outputs of the model, each on the grid on which its op writes it.

    Attributes:
        edges: the edge of each gate, in graph order.
    """

    def __init__(self, model: Model, plan: Plan, dtype: str = "int8", *, outputs: bool = False) -> None:
        self.model = copy_model(model)
        self.dtype = dtype
        graph, keys = self.model.main, self.model.main.keys()
        self.edges: list[Edge] = []
        self._differences: dict[tuple[Tensor, Storage], Tensor] = {}
        forms = plan.graphs[0].tensors
        found: list[_Gate] = []
        for op, decision in zip(list(graph.ops), plan.graphs[0].ops, strict=True):
            if decision.mode != INTEGER or moves_data(op):
                continue
            for position, tensor in real_inputs(op, find_rule(op.kind)):
                storage = decision.constants.get(position) or decision.inputs.get(position)
                storage = storage or forms.get(keys[tensor], {}).get(dtype)
                if storage is not None and not _same_as_output(op, position, tensor):
                    found.append((op, position, tensor, storage))
        if outputs:
            found += self._ends(graph, plan, keys)
        self._insert(graph, found)

    def _ends(self, graph: Graph, plan: Plan, keys: Mapping[Tensor, str]) -> Iterator[_Gate]:
        """The outputs that integer ops write."""
        modes = {decision.name: decision.mode for decision in plan.graphs[0].ops}
        for tensor in dict.fromkeys(graph.outputs):
            storage = plan.graphs[0].tensors.get(keys[tensor], {}).get(self.dtype)
            op = tensor.producer
            if op is not None and modes.get(op.name) == INTEGER and storage is not None:
                yield None, -1, tensor, storage

    def _insert(self, graph: Graph, found: Sequence[_Gate]) -> None:
        """Insert a gate at each op input; one vector input of the model switches all gates."""
        if not found:
            return
        vector = Tensor(INPUT, [len(found)])
        gates = [Tensor(f"{INPUT}/{i}", []) for i in range(len(found))]
        unpack = Op("UNPACK", [vector], gates, {"num": len(found), "axis": 0}, "UnpackOptions")
        graph.inputs.append(vector)
        inputs, outputs = input_names(self.model), output_names(self.model)
        for gate, (op, position, tensor, storage) in zip(gates, found, strict=True):
            root = source_tensor(tensor).producer
            reader = "" if op is None else op.name
            self.edges.append(Edge("" if root is None else root.name, reader, position))
            added = self._gated(graph, op, tensor, storage, gate)
            if op is None:
                graph.outputs = [added if t is tensor else t for t in graph.outputs]
                outputs = {name: added if t is tensor else t for name, t in outputs.items()}
            else:
                graph.set_input(op, position, added)
        graph.insert(0, unpack)
        self.model.signatures = [Signature("gated", {**inputs, INPUT: vector}, outputs)]

    def _gated(self, graph: Graph, op: Op | None, tensor: Tensor, storage: Storage, gate: Tensor) -> Tensor:
        difference = self._difference(graph, op, tensor, storage)
        scaled = Tensor(f"{gate.name}/scaled", tensor.shape)
        result = Tensor(f"{gate.name}/sum", tensor.shape)
        none = {"fusedActivationFunction": 0}
        _insert_before(graph, op, Op("MUL", [difference, gate], [scaled], dict(none), "MulOptions"))
        _insert_before(graph, op, Op("ADD", [tensor, scaled], [result], dict(none), "AddOptions"))
        return result

    def _difference(self, graph: Graph, op: Op | None, tensor: Tensor, storage: Storage) -> Tensor:
        """The tensor ``round(x) − x``; a constant for a constant."""
        key = (tensor, storage)
        if key in self._differences:
            return self._differences[key]
        if tensor.data is not None:
            rounded = dequantize(
                store(tensor.data, storage, "" if op is None else op.name),
                storage.scale,
                storage.zero_point,
                storage.axis,
            )
            data = np.asarray(rounded.reshape(tensor.shape) - tensor.data, np.float32)
            made = Tensor(f"{tensor.name}~change", tensor.shape, data=data)
        else:
            held = Tensor(f"{tensor.name}~{storage.dtype}", tensor.shape)
            hold(held, storage)
            back = Tensor(f"{tensor.name}~real", tensor.shape)
            made = Tensor(f"{tensor.name}~change", tensor.shape)
            for extra in (
                conversion(tensor, held),
                conversion(held, back),
                Op("SUB", [back, tensor], [made], {"fusedActivationFunction": 0}, "SubOptions"),
            ):
                _insert_before(graph, op, extra)
        self._differences[key] = made
        return made

    # -- running -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def open(self) -> Iterator[Session]:
        """Give a session with the model."""
        with (
            temporary_file(self.model) as path,
            Session(path, threads=min(cores(), 2), shared=True) as session,
        ):
            yield session

    def answers(
        self, session: Session, samples: Sequence[Inputs], on: Sequence[int] = ()
    ) -> Iterator[list[Array]]:
        """Yield the outputs of each sample with some roundings on.

        Args:
            session: from ``open``.
            samples: inputs by name.
            on: indices of the gates to turn on.
        """
        switched = np.zeros(len(self.edges), np.float32)
        switched[list(on)] = 1.0
        specs = [s for s in session.inputs if s.name != INPUT]
        fitted = (self._feed(adapt_inputs(Sample(dict(s)), specs), switched) for s in samples)
        for results in session.run_many(fitted):
            yield [np.asarray(results[name], np.float64) for name in output_names(self.model)]

    def _feed(self, inputs: Mapping[str, Any], switched: Array) -> dict[str, Any]:
        return {**inputs, INPUT: switched} if self.edges else dict(inputs)


def _insert_before(graph: Graph, anchor: Op | None, op: Op) -> None:
    """Add an op before another, at the end without one."""
    graph.insert(len(graph.ops) if anchor is None else graph.ops.index(anchor), op)


def _same_as_output(op: Op, position: int, tensor: Tensor) -> bool:
    """True for a constant whose values a data-movement op passes on: another rounding changes nothing."""
    rule = find_rule(op.kind)
    return tensor.is_constant and rule is not None and position in shared_inputs(op, rule)

"""UNIDIRECTIONAL_SEQUENCE_LSTM written out step by step, for kernels and devices that have no such op.

The products with the input are one FULLY_CONNECTED for all steps; a step is FULLY_CONNECTED, ADD, SPLIT,
LOGISTIC, TANH, MUL. Results differ in the last bits, as sums have another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.ops.sequence_lstm import (
    BIASES,
    INPUT_WEIGHTS,
    KIND,
    RECURRENT_WEIGHTS,
    starts_from_zero,
    unlike_plain,
)
from tightfit.graph.passes.clean import remove_dead_ops

LONGEST: Final = 512
"""Steps beyond this make a graph of tens of thousands of ops."""


def can_unroll(op: Op) -> bool:
    """Return True for an LSTM that ``why_whole`` names no reason for."""
    return op.kind == KIND and why_whole(op) is None


def why_whole(op: Op) -> str | None:
    """Return why a UNIDIRECTIONAL_SEQUENCE_LSTM is not written out; None where it can be."""
    reason = unlike_plain(op)
    if reason is not None:
        return reason
    if not starts_from_zero(op):
        return "it keeps its state between calls"
    if op.options.get("cellClip"):
        return f"it clips its cell state at {op.options['cellClip']:g}"
    places = (*INPUT_WEIGHTS, *RECURRENT_WEIGHTS, *BIASES)
    if not all(op.operand(i).data is not None and op.operand(i).dtype == "float32" for i in places):
        return "its weights are not float32 constants"
    if op.options.get("timeMajor") or -1 in (op.operand(0).shape_signature or ())[1:]:
        return "its steps come first, or their number is free"
    steps = op.operand(0).shape[1]
    return None if 0 < steps <= LONGEST else f"it has {steps:,} steps, more than {LONGEST}"


def unroll_lstms(model: Model) -> list[str]:
    """Write every LSTM out that ``can_unroll`` allows, in place.

    Returns:
        A sentence where something changed.
    """
    done: list[str] = []
    for graph in model.graphs:
        for op in [op for op in graph.ops if can_unroll(op)]:
            _Unrolling(graph, op).run()
            done.append(op.name)
    if done:
        remove_dead_ops(model)
    return [f"Written out step by step: {', '.join(done)}."] if done else []


class _Unrolling:
    """One LSTM; ops are inserted before it, then it is removed."""

    def __init__(self, graph: Graph, op: Op) -> None:
        self.graph, self.op = graph, op
        self.x, self.y = op.operand(0), op.outputs[0]
        self.batch, self.steps, _ = self.x.shape
        self.units = self.y.shape[2]
        self.free = -1 in (self.x.shape_signature or ())

    def run(self) -> None:
        """Replace the op."""
        hidden = self.all_steps(self.gates_of_input())
        op, y = self.op, self.y
        for state in [s for s in op.inputs if s is not None and s.is_variable]:
            state.is_variable = False  # the ops that set it to zero go with it
        position = self.graph.ops.index(op)
        self.graph.remove(op)
        options = {"valuesCount": self.steps, "axis": 1}
        self.graph.insert(position, Op("PACK", hidden, [y], options, "PackOptions"))

    def add(self, kind: str, inputs: Sequence[Tensor | None], outputs: list[Tensor], options: Any = None,
            table: str | None = None) -> list[Tensor]:  # fmt: skip
        """Insert an op; return its outputs."""
        self.graph.insert_before(self.op, Op(kind, list(inputs), outputs, options or {}, table))
        return outputs

    def tensor(self, name: str, width: int) -> Tensor:
        """A new tensor (batch, width)."""
        signature = (-1, width) if self.free else None
        return Tensor(f"{self.op.name}/{name}", (self.batch, width), shape_signature=signature)

    def stacked(self, places: Sequence[int], name: str) -> Tensor:
        """The constants of the gates below one another, in the order input, forget, output, cell."""
        i, f, c, o = (self.op.operand(place).values for place in places)
        data = np.concatenate([i, f, o, c])
        return Tensor(f"{self.op.name}/{name}", data.shape, data=data)

    def gates_of_input(self) -> list[Tensor]:
        """W x + b of every step."""
        width, name = 4 * self.units, self.op.name
        signature = (-1, self.steps, width) if self.free else None
        whole = Tensor(f"{name}/gates", (self.batch, self.steps, width), shape_signature=signature)
        weights, bias = self.stacked(INPUT_WEIGHTS, "weights"), self.stacked(BIASES, "bias")
        self.add("FULLY_CONNECTED", [self.x, weights, bias], [whole], _DENSE | {"keepNumDims": True},
                 "FullyConnectedOptions")  # fmt: skip
        each = [self.tensor(f"gates_{t}", width) for t in range(self.steps)]
        return self.add("UNPACK", [whole], each, {"num": self.steps, "axis": 1}, "UnpackOptions")

    def all_steps(self, gates: list[Tensor]) -> list[Tensor]:
        """The hidden state of every step."""
        recurrent = self.stacked(RECURRENT_WEIGHTS, "recurrent")
        hidden: list[Tensor] = []
        cell: Tensor | None = None
        for t, given in enumerate(gates):
            total = given
            if hidden:
                back = self.tensor(f"recurrent_{t}", 4 * self.units)
                self.add("FULLY_CONNECTED", [hidden[-1], recurrent, None], [back], dict(_DENSE),
                         "FullyConnectedOptions")  # fmt: skip
                (total,) = self.add("ADD", [given, back], [self.tensor(f"sum_{t}", 4 * self.units)], _PLAIN,
                                    "AddOptions")  # fmt: skip
            cell, out = self.step(t, total, cell)
            hidden.append(out)
        return hidden

    def step(self, t: int, total: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
        """The next cell and hidden state; the first cell state is zero."""
        units = self.units
        three, one = self.tensor(f"three_{t}", 3 * units), self.tensor(f"one_{t}", units)
        sizes = Tensor(f"{self.op.name}/sizes", (2,), "int32", np.array([3 * units, units], np.int32))
        axis = Tensor(f"{self.op.name}/axis", (), "int32", np.array(1, np.int32))
        self.add("SPLIT_V", [total, sizes, axis], [three, one], {"numSplits": 2}, "SplitVOptions")
        (open_,) = self.add("LOGISTIC", [three], [self.tensor(f"open_{t}", 3 * units)])
        parts = [self.tensor(f"{n}_{t}", units) for n in ("input", "forget", "output")]
        i, f, o = self.add("SPLIT", [axis, open_], parts, {"numSplits": 3}, "SplitOptions")
        (new,) = self.add("TANH", [one], [self.tensor(f"new_{t}", units)])
        (state,) = self.add("MUL", [i, new], [self.tensor(f"added_{t}", units)], _PLAIN, "MulOptions")
        if cell is not None:
            (kept,) = self.add("MUL", [f, cell], [self.tensor(f"kept_{t}", units)], _PLAIN, "MulOptions")
            (state,) = self.add("ADD", [kept, state], [self.tensor(f"cell_{t}", units)], _PLAIN, "AddOptions")
        (bounded,) = self.add("TANH", [state], [self.tensor(f"bounded_{t}", units)])
        (out,) = self.add("MUL", [o, bounded], [self.tensor(f"hidden_{t}", units)], _PLAIN, "MulOptions")
        return state, out


_PLAIN: Final = {"fusedActivationFunction": 0}
_DENSE: Final = {"fusedActivationFunction": 0, "weightsFormat": 0, "keepNumDims": False,
                 "asymmetricQuantizeInputs": False}  # fmt: skip

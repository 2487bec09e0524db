"""GRU and plain recurrent layers as WHILE loops over the steps of a sequence.

    GRU:  z, r = σ(a + R h + b)    n = tanh(a + r ∘ (R h + b))  or  tanh(a + R (r ∘ h) + b)
          h ← n + z ∘ (h − n)
    RNN:  h ← f(a + R h + b)

``a``, the product with the input, is given for all steps. A loop copies what it carries at every turn, so a
long sequence is cut into pieces of at most ``PIECE`` steps: its time grows with its length, not the square.

Source: Cho et al. 2014, "Learning Phrase Representations using RNN Encoder–Decoder"; ``while.cc`` of LiteRT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.ir import Graph, Model, Op, Tensor

GRU: Final = "GRU"
RNN: Final = "RNN"
LOOP_FROM: Final = 128
"""Steps up to which an unrolled layer is the better form: it is as fast, and every device takes it."""

PIECE: Final = 64
"""Most steps of one loop."""

_LEAST: Final = 32

Matrix = npt.NDArray[np.float32]
_PLAIN: Final = {"fusedActivationFunction": 0}
_DENSE: Final = {"weightsFormat": 0, "keepNumDims": False, "asymmetricQuantizeInputs": False} | _PLAIN


@dataclass(frozen=True)
class Cell:
    """What a step computes.

    Args:
        kind: ``GRU`` or ``RNN``.
        recurrent: R, (3 · units, units) with the gates z, r, n below one another, or (units, units).
        bias: b, (3 · units,) or (units,).
        resets_after: of a GRU, whether r multiplies R h + b (Keras's ``reset_after``) or h.
        activation: of an RNN, the kind of the op f: TANH, RELU, LOGISTIC; None for the identity.
    """

    kind: str
    recurrent: Matrix
    bias: Matrix
    resets_after: bool = True
    activation: str | None = "TANH"

    @property
    def units(self) -> int:
        """The number of values of the state."""
        return int(self.recurrent.shape[1])


def piece_length(steps: int) -> int:
    """Return how many steps a loop makes: a divisor of all steps where there is one from 32 to 64, else 64.

    Example:
        >>> piece_length(600), piece_length(67), piece_length(20)
        (60, 64, 20)
    """
    if steps <= PIECE:
        return steps
    return next((n for n in range(PIECE, _LEAST - 1, -1) if steps % n == 0), PIECE)


def add_layer(model: Model, anchor: Op, gates: Tensor, first: Tensor, cell: Cell, result: Tensor) -> None:
    """Insert the loops of a layer before an op, and their graphs behind the model's others.

    Args:
        model: changed in place.
        anchor: an op; the last op that is inserted before it writes ``result``.
        gates: a of all steps, (steps, batch, rows of R).
        first: the state before the first step, (batch, units).
        cell: what a step computes.
        result: the state after every step, (steps, batch, units).
    """
    steps, batch, rows = gates.shape
    length, state = piece_length(steps), first
    graphs: dict[int, tuple[int, int]] = {}
    parts: list[Tensor] = []
    for start in range(0, steps, length):
        count = min(length, steps - start)
        if count not in graphs:
            graphs[count] = len(model.graphs), len(model.graphs) + 1
            model.graphs += [_condition(f"{result.name}/{count}", count, batch, cell),
                             _Body(f"{result.name}/{count}", count, batch, cell).graph]  # fmt: skip
        piece = Tensor(f"{result.name}/gates_{start}", (count, batch, rows))
        blank = Tensor(f"{result.name}/blank_{start}", (count, batch, cell.units))
        _insert(anchor, _slice(gates, (start, 0, 0), piece))
        _insert(anchor, _slice(piece, (0, 0, 0), blank))  # every row is replaced
        carried = _carried(f"{result.name}/after_{start}", count, batch, cell)
        inputs = [_integers(f"{result.name}/zero", 0), state, blank, piece]
        options = dict(zip(("condSubgraphIndex", "bodySubgraphIndex"), graphs[count], strict=True))
        _insert(anchor, Op("WHILE", inputs, carried, options, "WhileOptions"))
        state = carried[1]
        parts.append(carried[2])
    joined = {"axis": 0, "fusedActivationFunction": 0}
    _insert(anchor, Op("CONCATENATION", parts, [result], joined, "ConcatenationOptions"))


def _insert(anchor: Op, op: Op) -> None:
    anchor.owner.insert_before(anchor, op)


def _carried(name: str, steps: int, batch: int, cell: Cell) -> list[Tensor]:
    """What a loop carries: the number of the step, the state, the states so far, a of every step."""
    return [
        Tensor(f"{name}/step", (), "int32"),
        Tensor(f"{name}/state", (batch, cell.units)),
        Tensor(f"{name}/states", (steps, batch, cell.units)),
        Tensor(f"{name}/gates", (steps, batch, cell.recurrent.shape[0])),
    ]


def _condition(name: str, steps: int, batch: int, cell: Cell) -> Graph:
    graph = Graph(f"{name}/condition")
    graph.inputs = _carried(graph.name, steps, batch, cell)
    goes_on = Tensor(f"{graph.name}/goes_on", (), "bool")
    end = _integers(f"{graph.name}/steps", steps)
    graph.append(Op("LESS", [graph.inputs[0], end], [goes_on], {}, "LessOptions"))
    graph.outputs = [goes_on]
    return graph


class _Body:
    """The graph of one step."""

    def __init__(self, name: str, steps: int, batch: int, cell: Cell) -> None:
        self.graph = graph = Graph(f"{name}/step")
        self.batch, self.cell = batch, cell
        graph.inputs = step, state, states, gates = _carried(graph.name, steps, batch, cell)
        rows = cell.recurrent.shape[0]
        place = self.place(step)
        one = Tensor(f"{graph.name}/row", (1, batch, rows))
        graph.append(
            Op("SLICE", [gates, place, _integers(f"{graph.name}/size", one.shape)], [one], {}, "SliceOptions")
        )
        new = (self.gru if cell.kind == GRU else self.rnn)(self.reshaped(one, (batch, rows)), state)
        row, written = (
            self.reshaped(new, (1, batch, cell.units)),
            Tensor(f"{graph.name}/written", states.shape),
        )
        graph.append(
            Op("DYNAMIC_UPDATE_SLICE", [states, row, place], [written], {}, "DynamicUpdateSliceOptions")
        )
        following = self.add(
            "ADD", [step, _integers(f"{graph.name}/one", 1)], Tensor("next", (), "int32"), _PLAIN
        )
        graph.outputs = [following, new, written, gates]

    def place(self, step: Tensor) -> Tensor:
        """The place of the step's row: (step, 0, 0)."""
        zeros = _integers(f"{self.graph.name}/zeros", (0, 0))
        inputs = [self.reshaped(step, (1,)), zeros]
        options = {"axis": 0, "fusedActivationFunction": 0}
        return self.add("CONCATENATION", inputs, Tensor("place", (3,), "int32"), options)

    def gru(self, gates: Tensor, state: Tensor) -> Tensor:
        """The next state of a GRU."""
        cell, units = self.cell, self.cell.units
        given, given_new = self.parted(gates, "given")
        if cell.resets_after:
            back, back_new = self.parted(self.dense(state, slice(None), "back"), "back")
        else:
            back = self.dense(state, slice(0, 2 * units), "back")
        opened = self.add("LOGISTIC", [self.sum(given, back)], self.state("open", 2 * units))
        update, reset = self.named("update"), self.named("reset")
        axis = _integers(f"{self.graph.name}/axis", 1)
        self.graph.append(Op("SPLIT", [axis, opened], [update, reset], {"numSplits": 2}, "SplitOptions"))
        if not cell.resets_after:
            kept = self.add("MUL", [reset, state], self.state("kept"), _PLAIN)
            back_new = self.dense(kept, slice(2 * units, None), "back_new")
        else:
            back_new = self.add("MUL", [reset, back_new], self.state("kept"), _PLAIN)
        new = self.add("TANH", [self.sum(given_new, back_new)], self.state("new"))
        change = self.add("SUB", [state, new], self.state("change"), _PLAIN)
        held = self.add("MUL", [update, change], self.state("held"), _PLAIN)
        return self.sum(new, held)

    def rnn(self, gates: Tensor, state: Tensor) -> Tensor:
        """The next state of a plain recurrent layer."""
        total = self.sum(gates, self.dense(state, slice(None), "back"))
        kind = self.cell.activation
        return total if kind is None else self.add(kind, [total], self.state("new"))

    def parted(self, tensor: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """The part of both gates, and that of the new state."""
        units = self.cell.units
        parts = self.named(f"{name}_gates", 2 * units), self.named(f"{name}_new")
        sizes = _integers(f"{self.graph.name}/sizes", (2 * units, units))
        inputs = [tensor, sizes, _integers(f"{self.graph.name}/axis", 1)]
        self.graph.append(Op("SPLIT_V", inputs, list(parts), {"numSplits": 2}, "SplitVOptions"))
        return parts

    def dense(self, tensor: Tensor, rows: slice, name: str) -> Tensor:
        """R h + b of some rows."""
        weights = np.ascontiguousarray(self.cell.recurrent[rows])
        inputs = [tensor, _constant(f"{self.graph.name}/{name}_weights", weights),
                  _constant(f"{self.graph.name}/{name}_bias", self.cell.bias[rows])]  # fmt: skip
        return self.add("FULLY_CONNECTED", inputs, self.state(name, len(weights)), _DENSE)

    def sum(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum of two tensors."""
        return self.add("ADD", [a, b], self.state(f"{a.name.rsplit('/', 1)[-1]}_sum", a.shape[1]), _PLAIN)

    def reshaped(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """A tensor in another shape."""
        sizes = np.array(shape, np.int32)
        result = Tensor(f"as_{len(shape)}d", shape, tensor.dtype)
        return self.add(
            "RESHAPE", [tensor, _integers(f"{self.graph.name}/shape", sizes)], result, {"newShape": sizes}
        )

    def state(self, name: str, width: int | None = None) -> Tensor:
        """A new tensor (batch, width)."""
        return Tensor(name, (self.batch, self.cell.units if width is None else width))

    def named(self, name: str, width: int | None = None) -> Tensor:
        """The same with the graph's name before its own."""
        return self.state(f"{self.graph.name}/{name}", width)

    def add(self, kind: str, inputs: list[Tensor], result: Tensor, options: Any = None) -> Tensor:
        """Append an op; return its result."""
        result.name = f"{self.graph.name}/{result.name}"
        words = "".join(word.capitalize() for word in kind.split("_"))
        table = None if options is None else f"{words}Options"
        self.graph.append(Op(kind, list(inputs), [result], dict(options or {}), table))
        return result


def _slice(source: Tensor, begin: Sequence[int], result: Tensor) -> Op:
    places = [_integers(f"{result.name}/{n}", v) for n, v in (("begin", begin), ("size", result.shape))]
    return Op("SLICE", [source, *places], [result], {}, "SliceOptions")


def _integers(name: str, values: Any) -> Tensor:
    return _constant(name, np.array(values, np.int32))


def _constant(name: str, values: npt.NDArray[np.generic]) -> Tensor:
    data = np.ascontiguousarray(values) if values.ndim else values
    return Tensor(name, data.shape, data.dtype.name, data)

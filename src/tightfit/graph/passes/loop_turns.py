"""How often a WHILE runs its body, and which rows of a carried tensor each turn writes, where that is known.

The condition and the body are copied turn by turn, and what is known beforehand (counters, places) is
computed on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tightfit.graph.copying import copy_op, copy_tensor
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.clean import called_graphs
from tightfit.graph.passes.constant_folding import fold_op
from tightfit.graph.passes.edits import constant
from tightfit.graph.passes.loop_rows import RowWrite, row_write

KIND: Final = "WHILE"
MOST_TURNS: Final = 8192
"""Beyond this the turns of a loop are not counted, nor those of the loops behind it in ``graph_runs``."""

Rows = dict[int, int]
"""Place among what a loop carries → the row that a turn writes."""


def find_loop(model: Model, op: Op) -> Loop | None:
    """Return a WHILE with its graphs; None where they do not fit each other, as in a damaged file."""
    places = [int(op.options.get(name, -1)) for name in ("condSubgraphIndex", "bodySubgraphIndex")]
    if op.kind != KIND or not all(0 <= place < len(model.graphs) for place in places):
        return None
    condition, body = (model.graphs[place] for place in places)
    count = len([t for t in op.inputs if t is not None])
    sides = (op.inputs, op.outputs, condition.inputs, body.inputs, body.outputs)
    fits = len(condition.outputs) == 1 and all(len(side) == count for side in sides)
    return Loop(op, condition, body) if fits and op.graph not in (condition, body) else None


def graph_runs(model: Model) -> list[int]:
    """Return how often each graph runs when the model runs once.

    The condition of a loop counts as its body does.
    The body of a loop whose turns are not known beforehand, and each branch of an IF, counts once.
    """
    order, left = _callers_first(model), MOST_TURNS
    place = {index: at for at, index in enumerate(order)}
    runs = [0] * len(model.graphs)
    for index in {0, *(s.graph_index for s in model.signatures)} & set(order):
        runs[index] = 1
    for index in order:
        for op in model.graphs[index].ops:
            later = [i for i in called_graphs(op) if place.get(i, -1) > place[index]]
            turns = 1
            if later and op.kind == KIND and (loop := find_loop(model, op)) is not None:
                turns = len(loop.turns(left) or [{}])
                left = max(0, left - turns)
            for i in later:
                runs[i] += runs[index] * turns
    return [max(times, 1) for times in runs]


def _callers_first(model: Model) -> list[int]:
    """The graphs in an order in which each stands behind those that call it, as far as there is one."""
    done: list[int] = []
    seen = set[int]()
    waiting = [(i, False) for i in range(len(model.graphs))][::-1]
    while waiting:
        index, leaves = waiting.pop()
        if leaves:
            done.append(index)
        elif index not in seen:
            seen.add(index)
            called = {i for op in model.graphs[index].ops for i in called_graphs(op)}
            waiting += [(index, True), *((i, False) for i in called if 0 <= i < len(model.graphs))]
    return done[::-1]


@dataclass
class Turn:
    """A copy of a graph in which what is known was computed.

    Attributes:
        part: the ops that are left.
        copies: tensor of the source → the one that stands for it.
        outputs: of the copy.
    """

    part: Graph = field(default_factory=lambda: Graph("turn"))
    copies: dict[Tensor, Tensor] = field(default_factory=dict)
    outputs: list[Tensor] = field(default_factory=list)


class Loop:
    """One WHILE: its condition, its body, and the rows that the body writes."""

    def __init__(self, op: Op, condition: Graph, body: Graph) -> None:
        self.op, self.condition, self.body = op, condition, body
        found = {k: row_write(self.body, k) for k in range(len(self.body.outputs))}
        self.writes: dict[int, RowWrite] = {k: row for k, row in found.items() if row is not None}
        self.skipped = frozenset(op for row in self.writes.values() for op in row.ops)
        self.constants: dict[Tensor, Tensor] = {}

    def turns(self, most: int = MOST_TURNS) -> list[Rows] | None:
        """Return the rows that each turn writes; None where the turns are unknown, or are more than ``most``.

        A row that is not known beforehand is left out.
        """
        known = [copy_tensor(t) for t in self.op.inputs if t is not None]
        found: list[Rows] = []
        while len(found) <= most:
            goes_on = self.turn(self.condition, known, only_known=True).outputs[0].data
            if goes_on is None or goes_on.size != 1:
                return None
            if not goes_on.reshape(-1)[0]:
                return found
            turn = self.turn(self.body, known, only_known=True)
            places = {k: turn.copies.get(row.place) for k, row in self.writes.items()}
            rows = {k: p.data for k, p in places.items() if p is not None and p.data is not None and p.size}
            found.append({k: int(data.reshape(-1)[0]) for k, data in rows.items()})
            known = turn.outputs
        return None

    def can_write_out(self, turns: list[Rows]) -> bool:
        """Whether sizes are fixed, and each row of a carried tensor is known and written, or known before."""
        copied = [op for op in self.body.ops if op not in self.skipped]
        if not turns or any(-1 in (t.shape_signature or ()) for op in copied for t in op.outputs):
            return False
        for k in self.writes:
            first, written = self.op.operand(k), {rows.get(k, -1) for rows in turns}
            if not written <= set(range(first.shape[0])):
                return False
            if first.data is None and len(written) < first.shape[0]:
                return False
        return True

    def turn(
        self, source: Graph, inputs: list[Tensor], suffix: str = "", *, only_known: bool = False
    ) -> Turn:
        """Return a copy of the condition or the body that reads ``inputs``.

        Args:
            source: the graph.
            inputs: what stands for its inputs.
            suffix: of the copies' names.
            only_known: leave out the ops that cannot be computed beforehand.
        """
        turn = Turn(copies=dict(zip(source.inputs, inputs, strict=True)))
        for op in source.ops:
            if op in self.skipped:
                continue
            for tensor in op.inputs:
                if tensor is not None:
                    self._stand_in(turn, tensor)
            for tensor in op.outputs:
                turn.copies[tensor] = twin = copy_tensor(tensor)
                twin.name += suffix
            if only_known and any(t is not None and turn.copies[t].data is None for t in op.inputs):
                continue
            made = turn.part.append(_at_known_place(copy_op(op, turn.copies)))
            fold_op(turn.part, made)
        # What only rows are written with stays as it was.
        turn.outputs = [
            turn.copies[source.inputs[k]]
            if k in self.writes and source is self.body
            else self._stand_in(turn, t)
            for k, t in enumerate(source.outputs)
        ]
        return turn

    def _stand_in(self, turn: Turn, tensor: Tensor) -> Tensor:
        """What stands for a tensor of the source: a copy, for constants one for all turns."""
        if tensor not in turn.copies:
            if tensor not in self.constants:
                self.constants[tensor] = copy_tensor(tensor)
            turn.copies[tensor] = self.constants[tensor]
        return turn.copies[tensor]


def _at_known_place(op: Op) -> Op:
    """Return a slice instead of a GATHER at one known place of the first axis, which more kernels take."""
    place = op.input(1)
    plain = not op.options.get("axis") and not op.options.get("batchDims")
    if op.kind != "GATHER" or not plain or place is None or place.data is None or place.size != 1:
        return op
    source, name = op.operand(0), op.outputs[0].name
    row, rest = int(place.data.reshape(-1)[0]), list(source.shape[1:])
    ends = ([row] + [0] * len(rest), [row + 1, *rest], [1] * len(source.shape))
    bounds = [constant(f"{name}/{n}", v) for n, v in zip(("begin", "end", "steps"), ends, strict=True)]
    options = {
        "beginMask": 0, "endMask": 0, "ellipsisMask": 0, "newAxisMask": 0, "offset": False,
        "shrinkAxisMask": 0 if place.shape else 1,
    }  # fmt: skip
    return Op("STRIDED_SLICE", [source, *bounds], op.outputs, options, "StridedSliceOptions")

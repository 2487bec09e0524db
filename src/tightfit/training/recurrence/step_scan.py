"""Compute the repeated steps of a recurrent layer as one scan: its program is compiled once for all steps.

What differs between steps is stacked along the time: the inputs, the scales and zero points of the grids, and
biases on such grids. The scan carries the state and, as TensorFlow requires one structure for both, what is
read of a step outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from tightfit.graph.ir import Graph, Tensor
from tightfit.training.fake_quant.quantizers import GIVEN, ActivationQuantizer, stacked_scales
from tightfit.training.graph_call import Call
from tightfit.training.lowering.batching import spread
from tightfit.training.lowering.op_lowerings import trained_positions
from tightfit.training.recurrence.step_search import Place, Steps, points_of

if TYPE_CHECKING:
    from tightfit.training.graph_program import GraphProgram


@dataclass
class Stacked:
    """What the steps of one call read.

    Args:
        values: tensor of the model step → its value, where it is equal in all steps.
        rows: tensor of the model step → its values, (steps, batch, …).
        fixed: quantizer → its grid, where it is equal in all steps.
        grids: quantizer → scales and zero points, (steps,) each.
        constants: (op index, position) → trained constants, (steps, …), where they differ.
    """

    values: dict[Tensor, Any]
    rows: dict[Tensor, Any]
    fixed: dict[ActivationQuantizer, Any]
    grids: dict[ActivationQuantizer, tuple[Any, Any]]
    constants: dict[tuple[int, int], Any]


class StepScan:
    """The scan over steps that are alike; the second step is the model of all.

    Args:
        program: the ops of the graph.
        steps: see ``step_search.find_steps``.
    """

    def __init__(self, program: GraphProgram, steps: Steps) -> None:
        self.program, self.steps, self.ops = program, steps, program.graph.ops
        self.model = steps.members[1]
        self.inside = {index for members in steps.members for index in members}
        self.places = list(dict.fromkeys(steps.carried.values()))
        outside = (op for i, op in enumerate(self.ops) if i not in self.inside)
        self.read = {*program.graph.outputs, *(t for op in outside for t in op.inputs if t is not None)}

    def output(self, step: int, place: Place) -> Tensor:
        """Return an output of a step."""
        return self.ops[self.steps.members[step][place[0]]].outputs[place[1]]

    def input(self, step: int, place: Place) -> Tensor:
        """Return an input of a step."""
        return self.ops[self.steps.members[step][place[0]]].operand(place[1])

    def run(self, call: Call, wanted: Sequence[Tensor]) -> None:
        """Compute the steps, and set what is read of them outside.

        Args:
            call: the forward pass.
            wanted: tensors of the graph that its caller reads.
        """
        shown = list(self.shown({*self.read, *wanted}))
        first = {v: k for k, v in reversed(self.steps.carried.items())}
        start = [call.batched(self.input(0, first[place])) for place in self.places]
        start, stacked = self.stacked(call, start)
        zeros = [self.zeros(place, start) for place in shown]

        def step(carry: Any, given: Any) -> Any:
            inner = self.entered(call, carry, stacked, given)
            for index in self.model:
                inner.compute(index, self.ops[index])
            made = [inner.value(self.output(1, place)) for place in [*self.places, *shown]]
            made = [ops.cast(new, old.dtype) for new, old in zip(made, carry, strict=True)]
            return made, made

        varying = [
            list(stacked.rows.values()),
            list(stacked.grids.values()),
            list(stacked.constants.values()),
        ]
        _, rows = ops.scan(step, [*start, *zeros], varying, length=len(self.steps.members))
        for place, row in zip(shown, rows[len(start) :], strict=True):
            self.leave(call, place, row)

    def shown(self, read: set[Tensor]) -> Iterator[Place]:
        """Yield the outputs of a step that are read outside, in any step."""
        for n, index in enumerate(self.model):
            for o in range(len(self.ops[index].outputs)):
                if any(self.output(t, (n, o)) in read for t in range(len(self.steps.members))):
                    yield n, o

    def leave(self, call: Call, place: Place, row: Any) -> None:
        """Set an output of each step."""
        for t, members in enumerate(self.steps.members):
            tensor = self.output(t, place)
            call.values[tensor] = row[t]
            point = call.points.outputs.get((members[place[0]], place[1]))
            if point is not None:
                call.held[tensor] = point

    def zeros(self, place: Place, start: list[Any]) -> Any:
        """Return zeros in the shape and with the batch of an output."""
        shape = self.output(1, place).shape
        return ops.broadcast_to(ops.zeros((1, *shape), start[0].dtype), (ops.shape(start[0])[0], *shape))

    # -- what the steps read -------------------------------------------------------------------

    def stacked(self, call: Call, start: list[Any]) -> tuple[list[Any], Stacked]:
        """Return the first state with the batch of all values, and what the steps read."""
        count = len(self.steps.members)
        found = Stacked({}, {}, {}, {}, {})
        rows: dict[Tensor, list[Any]] = {}
        for place in self.steps.given:
            tensors = [self.input(t, place) for t in range(count)]
            if len(set(tensors)) == 1:
                known = call.known(tensors[1])
                found.values[tensors[1]] = call.value(tensors[1]) if known is None else known
            else:
                rows[tensors[1]] = [call.batched(t) for t in tensors]
        flat = [*start, *(v for values in rows.values() for v in values)]
        # Where the steps' own inputs do not depend on the samples, an input of all steps has the batch.
        leaders = [v for v in found.values.values() if not isinstance(v, np.ndarray)]
        flat = spread([*flat, *leaders])
        for n, tensor in enumerate(rows):
            begin = len(start) + n * count
            found.rows[tensor] = ops.stack(flat[begin : begin + count])
        if call.rounded:
            self.add_grids(call, found)
        self.add_constants(call, found)
        return flat[: len(start)], found

    def add_grids(self, call: Call, found: Stacked) -> None:
        """Add the grids on which the steps round."""
        quantizers = self.program.quantizers
        each = [
            dict.fromkeys(points_of(self.ops, self.program.points, members)) for members in self.steps.members
        ]
        for points in zip(*each, strict=True):
            own = [quantizers[point] for point in points]
            if len(set(own)) == 1:
                found.fixed[own[1]] = own[1].parameters(call.cache)
            else:
                zero_points = np.asarray([q.zero_point for q in own], np.float32)
                found.grids[own[1]] = stacked_scales(own, call.cache), ops.convert_to_tensor(zero_points)

    def add_constants(self, call: Call, found: Stacked) -> None:
        """Add the trained constants, as the ops use them."""
        for n, index in enumerate(self.model):
            for position in trained_positions(self.ops[index]):
                uses = [(members[n], position) for members in self.steps.members]
                if len({self.kind(use) for use in uses}) == 1:
                    call.constants[index, position] = call.trained(index, position)
                else:
                    found.constants[index, position] = ops.stack([call.trained(*use) for use in uses])

    def kind(self, use: tuple[int, int]) -> Any:
        """Return what decides the value of a trained constant in an op."""
        weights = self.program.weights
        tensor = self.ops[use[0]].operand(use[1])
        own = use if use in weights.accumulators else None
        return weights.first.get(tensor, tensor), weights.quantizers.get(use), own

    def entered(self, call: Call, carry: Any, stacked: Stacked, given: Any) -> Call:
        """Return the forward pass of one step with its state, inputs, grids and constants."""
        rows, grids, constants = given
        inner = Call(self.program, call.dtype, training=call.training, rounded=call.rounded)
        for place, value in zip(self.places, carry, strict=False):
            tensor = self.output(0, place)
            inner.values[tensor] = value
            point = inner.points.outputs.get((self.steps.members[0][place[0]], place[1]))
            if point is not None:
                inner.held[tensor] = point
        inner.values |= stacked.values | dict(zip(stacked.rows, rows, strict=True))
        inner.held |= {t: call.held[t] for t in (*stacked.values, *stacked.rows) if t in call.held}
        grid = stacked.fixed | dict(zip(stacked.grids, grids, strict=True))
        inner.cache |= {(GIVEN, quantizer): tuple(each) for quantizer, each in grid.items()}
        inner.constants |= call.constants | dict(zip(stacked.constants, constants, strict=True))
        return inner


def ordered(graph: Graph, scans: Sequence[StepScan]) -> list[int | StepScan]:
    """Return the ops and scans of a graph, each after what it reads.

    Args:
        graph: the graph.
        scans: which compute some of its ops.
    """
    owner: dict[int, Any] = {index: scan for scan in scans for index in scan.inside}
    makers = {t: i for i, op in enumerate(graph.ops) for t in op.outputs}
    found: dict[Any, None] = {}

    def members(item: Any) -> list[int]:
        return sorted(item.inside) if isinstance(item, StepScan) else [item]

    for begin in range(len(graph.ops)):
        open_ = [owner.get(begin, begin)]
        while open_:
            item = open_[-1]
            read = (t for i in members(item) for t in graph.ops[i].inputs if t in makers)
            before = dict.fromkeys(owner.get(makers[t], makers[t]) for t in read if t is not None)
            late = [each for each in before if each is not item and each not in found]
            if late:
                open_ += late
            else:
                found[open_.pop()] = None
    return list(found)

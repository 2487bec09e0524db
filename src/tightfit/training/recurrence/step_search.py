"""Find the steps of written-out recurrent layers: chains of ops that read one weight, and what lies between.

A chain are the ops a₀, a₁, … that read the same trained constant at the same position, each computed from the
one before: the product with the state. The level of an op is the number of the last aₖ among its ancestors,
-1 without one. Step k are the ops of level k that a later product depends on, and the ops of level -1 that
only they read, such as the product with the step's input. Steps are alike when their ops, constants and
grids are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.training.fake_quant.quantization_points import Point, QuantizationPoints
from tightfit.training.lowering.op_lowerings import trained_positions

LEAST_STEPS: Final = 3
"""Fewer steps are computed one by one."""

Place = tuple[int, int]
"""(position of an op in a step, input or output position)."""


@dataclass(frozen=True)
class Steps:
    """Steps that are alike, in their order.

    Args:
        members: indices of the ops of each step, (steps, ops).
        carried: what a step reads of the one before: place of the input → place of the output there.
        given: the other inputs that are computed before the first step.
    """

    members: list[list[int]]
    carried: dict[Place, Place]
    given: list[Place]


def find_steps(graph: Graph, points: QuantizationPoints, owners: Mapping[Tensor, Tensor]) -> list[Steps]:
    """Return the repeated steps of a graph; no op belongs to two.

    Args:
        graph: the graph.
        points: where its values are rounded.
        owners: trained constant → the one that has its variable.
    """
    found: list[Steps] = []
    taken: set[int] = set()
    search = _Search(graph, points, owners)
    for chain in search.chains():
        if taken.isdisjoint(chain):
            for steps in search.steps_of(chain, taken):
                found.append(steps)
                taken |= {index for members in steps.members for index in members}
    return found


class _Search:
    """The facts about one graph that each chain is looked at with."""

    def __init__(self, graph: Graph, points: QuantizationPoints, owners: Mapping[Tensor, Tensor]) -> None:
        self.ops, self.points, self.owners = graph.ops, points, owners
        self.makers: dict[Tensor, Place] = {
            t: (i, o) for i, op in enumerate(self.ops) for o, t in enumerate(op.outputs)
        }
        self.readers: dict[Tensor, list[int]] = {t: [] for t in self.makers}
        for index, op in enumerate(self.ops):
            for tensor in op.inputs:
                if tensor in self.readers:
                    self.readers[tensor].append(index)
        self.ends = set(graph.outputs)
        self.constants: dict[Tensor, object] = {}

    # -- chains --------------------------------------------------------------------------------

    def chains(self) -> Iterator[list[int]]:
        """Yield the ops that read one trained constant, each computed from the one before."""
        groups: dict[Any, list[int]] = {}
        for index, op in enumerate(self.ops):
            for position in trained_positions(op):
                tensor = op.operand(position)
                if len(tensor.shape) > 1:
                    groups.setdefault((self.owners.get(tensor, tensor), op.kind, position), []).append(index)
        for chain in groups.values():
            if len(chain) > LEAST_STEPS:
                levels = self.levels(chain)
                if [levels[i] for i in chain] == list(range(len(chain))):
                    yield chain

    def levels(self, chain: list[int]) -> list[int]:
        """Return the level of each op."""
        anchors, levels = set(chain), list[int]()
        for index, op in enumerate(self.ops):
            before = [levels[self.makers[t][0]] for t in op.inputs if t in self.makers]
            levels.append(max(before, default=-1) + (index in anchors))
        return levels

    def leading_to(self, end: int) -> set[int]:
        """Return the ops that an op is computed from."""
        found, open_ = set[int](), [end]
        while open_:
            for tensor in self.ops[open_.pop()].inputs:
                maker = self.makers.get(tensor) if tensor is not None else None
                if maker is not None and maker[0] not in found:
                    found.add(maker[0])
                    open_.append(maker[0])
        return found

    # -- steps ---------------------------------------------------------------------------------

    def steps_of(self, chain: list[int], taken: set[int]) -> Iterator[Steps]:
        """Yield the longest run of steps that are alike, where it is long enough."""
        levels, leading = self.levels(chain), self.leading_to(chain[-1]) - taken
        members = [sorted(i for i in leading if levels[i] == k) for k in range(len(chain) - 1)]
        self.pull(members, levels, taken)
        said = [self.described(members, k) for k in range(len(members))]
        first, count = _longest_run(said)
        carried, given = self.reads(members[first], members[first - 1] if first else [])
        if first and self.is_first(members[first - 1], members[first], carried, given):
            first, count = first - 1, count + 1
        run = members[first : first + count]
        late = any(levels[self.makers[t][0]] >= first for t in self.given_tensors(run, given))
        if count >= LEAST_STEPS and not late:
            yield Steps(run, carried, given)

    def is_first(
        self, own: list[int], after: list[int], carried: dict[Place, Place], given: list[Place]
    ) -> bool:
        """Return whether a step is like those after it, but for where its state comes from.

        Args:
            own: the step.
            after: the first of those that are alike.
            carried: what that one reads of this step.
            given: what it reads besides.
        """
        if self.itself(own) != self.itself(after):
            return False
        outer = [(n, p) for n, p, t in self.inputs(own) if (n, p) not in self.inner(own)]
        if sorted(outer) != sorted([*carried, *given]):
            return False
        read: dict[Place, set[Tensor]] = {}
        for (n, p), place in carried.items():
            read.setdefault(place, set()).add(self.ops[own[n]].operand(p))
        shapes = [self.ops[own[n]].operand(p).shape == self.ops[after[n]].operand(p).shape for n, p in outer]
        return all(shapes) and all(len(tensors) == 1 for tensors in read.values())

    def given_tensors(self, run: list[list[int]], given: list[Place]) -> Iterator[Tensor]:
        """Yield the tensors computed by ops that the steps read besides the state."""
        for members in run:
            for op, position in given:
                tensor = self.ops[members[op]].operand(position)
                if tensor in self.makers:
                    yield tensor

    def pull(self, members: list[list[int]], levels: list[int], taken: set[int]) -> None:
        """Add to each step the ops before the chain that it alone reads, where a neighbour has the same."""
        while True:
            found = [self.candidates(each, levels, taken) for each in members]
            added = False
            for k, candidates in enumerate(found):
                beside = {said for n in (k - 1, k + 1) if 0 <= n < len(found) for said in found[n].values()}
                new = [index for index, said in candidates.items() if said in beside]
                members[k] = sorted([*members[k], *new])
                added = added or bool(new)
            if not added:
                return

    def candidates(self, members: list[int], levels: list[int], taken: set[int]) -> dict[int, Any]:
        """Return the ops before the chain that only a step reads, with what they are."""
        inside, found = set(members), dict[int, Any]()
        for index in members:
            for tensor in self.ops[index].inputs:
                maker = self.makers.get(tensor) if tensor is not None else None
                if maker is None or maker[0] in inside or maker[0] in taken or levels[maker[0]] >= 0:
                    continue
                if self.is_read_only_in(maker[0], inside):
                    found[maker[0]] = self.alone(self.ops[maker[0]])
        return found

    def is_read_only_in(self, index: int, inside: set[int]) -> bool:
        """Return whether all outputs of an op are read by some ops only."""
        return all(t not in self.ends and inside.issuperset(self.readers[t]) for t in self.ops[index].outputs)

    # -- what a step is ------------------------------------------------------------------------

    def alone(self, op: Op) -> Any:
        """Return what an op is without its inputs that are computed."""
        options = tuple(sorted((k, repr(v)) for k, v in op.options.items()))
        shapes = tuple((t.shape, t.dtype) for t in op.outputs)
        return op.kind, options, shapes, tuple(self.constant(t) for t in op.inputs)

    def constant(self, tensor: Tensor | None) -> object:
        """Return what a constant is; "computed" for other tensors."""
        if tensor is None or not tensor.is_constant:
            return "absent" if tensor is None else "variable" if tensor.is_variable else "computed"
        if tensor not in self.constants:
            owner = self.owners.get(tensor)
            values = np.asarray(tensor.values) if owner is None else None
            self.constants[tensor] = (
                id(owner) if values is None else (tensor.dtype, tensor.shape, values.tobytes())
            )
        return self.constants[tensor]

    def described(self, members: list[list[int]], k: int) -> Any:
        """Return a description of step k; equal ones are computed by the same program."""
        own = members[k]
        carried, given = self.reads(own, members[k - 1] if k else [])
        tensors = [self.ops[own[op]].operand(position) for op, position in given]
        numbers = {tensor: n for n, tensor in enumerate(dict.fromkeys(tensors))}
        shapes = [(t.shape, t.dtype, numbers[t]) for t in tensors]
        return self.itself(own), carried, given, shapes

    def itself(self, own: list[int]) -> Any:
        """Return a description of a step without where its inputs come from."""
        return [self.alone(self.ops[i]) for i in own], self.inner(own), self.grids(own)

    def inner(self, own: list[int]) -> dict[Place, Place]:
        """Return input → output of the same step."""
        numbers = {index: n for n, index in enumerate(own)}
        return {
            (n, p): (numbers[maker[0]], maker[1])
            for n, p, tensor in self.inputs(own)
            if (maker := self.makers.get(tensor)) is not None and maker[0] in numbers
        }

    def inputs(self, own: list[int]) -> Iterator[tuple[int, int, Tensor]]:
        """Yield the inputs of a step's ops that are not constant."""
        for n, index in enumerate(own):
            for p, tensor in enumerate(self.ops[index].inputs):
                if tensor is not None and not tensor.is_constant and not tensor.is_variable:
                    yield n, p, tensor

    def reads(self, own: list[int], before: list[int]) -> tuple[dict[Place, Place], list[Place]]:
        """Return the inputs of a step that the one before computed, and those from elsewhere."""
        inside, numbers = set(own), {index: n for n, index in enumerate(before)}
        carried, given = dict[Place, Place](), list[Place]()
        for n, p, tensor in self.inputs(own):
            maker = self.makers.get(tensor)
            if maker is not None and maker[0] in numbers:
                carried[n, p] = (numbers[maker[0]], maker[1])
            elif maker is None or maker[0] not in inside:
                given.append((n, p))
        return carried, given

    def grids(self, own: list[int]) -> Any:
        """Return which values of a step share a grid, of which type it is, and which inputs lie on it."""
        labels: dict[Point, int] = {}
        for point in points_of(self.ops, self.points, own):
            labels.setdefault(point, len(labels))
        uses = [(labels.get(self.points.inputs.get((i, p))),  # type: ignore[arg-type]  # None has no label
                 self.held(self.ops[i].input(p)) is self.points.inputs.get((i, p)))
                for i in own for p in range(len(self.ops[i].inputs))]  # fmt: skip
        made = [labels.get(self.points.outputs.get((i, o)))  # type: ignore[arg-type]  # None has no label
                for i in own for o in range(len(self.ops[i].outputs))]  # fmt: skip
        kinds = [(p.storage.dtype, p.storage.narrow, p.fixed) for p in labels]
        return uses, made, kinds, [i in self.points.moved for i in own]

    def held(self, tensor: Tensor | None) -> Point | None:
        """Return the grid that a computed value lies on."""
        maker = self.makers.get(tensor) if tensor is not None else None
        return None if maker is None else self.points.outputs.get(maker)


def points_of(ops: list[Op], points: QuantizationPoints, own: list[int]) -> Iterator[Point]:
    """Yield the points of a step's inputs and outputs, in the order of its ops."""
    for index in own:
        places = [points.inputs.get((index, p)) for p in range(len(ops[index].inputs))]
        places += [points.outputs.get((index, o)) for o in range(len(ops[index].outputs))]
        yield from (point for point in places if point is not None)


def _longest_run(said: list[Any]) -> tuple[int, int]:
    """Return the begin and the length of the longest run of equal entries.

    Example:
        >>> _longest_run(["a", "b", "b", "c"])
        (1, 2)
    """
    best, begin = (0, 0), 0
    for i, each in enumerate(said):
        begin = begin if i and each == said[i - 1] else i
        best = max(best, (begin, i + 1 - begin), key=lambda run: run[1])
    return best

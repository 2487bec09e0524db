"""Parts of different size joined inside of the model: each is brought to one size before the join.

A CONCATENATION gives all of its parts one scale. Where a layer with constant weights reads the join,

    W·[a; b] = (W·D⁻¹)·D·[a; b],    D = diag(powers of two),

so that the small part becomes as large as the others and the next weights take that back. The factor goes
into the layer that writes the part where only the join reads it, else into a MUL. Where no layer reads the
join, it stays float, and what reads it takes a scale of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.modes import Override
from tightfit.quantization.ops.rule_lookup import only_moves
from tightfit.recovery.slices.standardize import can_standardize, scale_rows
from tightfit.recovery.slices.tails import find_tail, overrides_of

UNEVEN: Final = 8.0
"""Parts whose sizes differ by less lose at most three of eight bits, and are left alone."""

_JOINS: Final = frozenset({"CONCATENATION", "PACK"})
_READS: Final = frozenset({"FULLY_CONNECTED", "CONV_2D"})
_REASON: Final = "one integer scale cannot hold the parts that it joins"


def even_joins(model: Model, ranges: Ranges) -> tuple[Model, tuple[Override, ...], int]:
    """Return a model that computes the same with joins of even parts, overrides for the others, and how many.

    Args:
        model: the float model; it is not changed.
        ranges: what calibration saw of it.

    Returns:
        the model itself, no override and 0 where no join has uneven parts.
    """
    # A join behind the last layers is the business of the outputs' tails.
    ends = set(find_tail(model.main, model.main.outputs).ops)
    inner = [op for op in model.main.ops if op not in ends]
    uneven = [op.outputs[0] for op in inner if _factors(op, model.main, ranges) is not None]
    if not uneven:
        return model, (), 0
    keys = model.main.keys()
    wanted = {keys[t] for t in uneven}
    twin = copy_model(model)
    graph, found = twin.main, 0
    float_ops: list[Op] = []
    own = graph.keys()
    for op in [o for o in graph.ops if o.kind in _JOINS and own[o.outputs[0]] in wanted]:
        factors = _factors(op, graph, ranges)
        if factors is None:
            continue
        found += 1
        if op.kind == "CONCATENATION" and _readers(op, graph):
            _even(graph, op, factors)
        else:
            float_ops += [op, *_movers_behind(op)]
    graph.validate()
    return twin, overrides_of(dict.fromkeys(float_ops), "float", _REASON), found


def _factors(op: Op, graph: Graph, ranges: Ranges) -> list[float] | None:
    """The power of two that brings each part to the size of the largest, None where all are of one size."""
    if op.kind not in _JOINS:
        return None
    keys, sizes = graph.keys(), list[float]()
    for tensor in op.inputs:
        if tensor is None:
            return None
        if tensor.data is not None:
            sizes.append(
                float(np.abs(tensor.data).max(initial=0.0)) if tensor.data.dtype.kind == "f" else 0.0
            )
            continue
        seen = ranges.find(0, keys[tensor], "int8")
        sizes.append(0.0 if seen is None else max(abs(seen[0]), abs(seen[1])))
    largest = max(sizes, default=0.0)
    factors = [1.0 if s <= 0 or t is None or t.is_constant else 2.0 ** np.floor(np.log2(largest / s))
               for s, t in zip(sizes, op.inputs, strict=True)]  # fmt: skip
    return factors if max(factors, default=1.0) >= UNEVEN else None


def _readers(op: Op, graph: Graph) -> list[Op]:
    """The layers that read a join along its last axis, none where something else reads it, too."""
    target = op.outputs[0]
    axis = int(op.options.get("axis", 0)) % max(len(target.shape), 1)
    readers = [(reader, place) for reader, place in target.consumers]
    if target in graph.outputs or axis != len(target.shape) - 1 or not readers:
        return []
    for reader, place in readers:
        weights = reader.input(1)
        if reader.kind not in _READS or place != 0 or weights is None or weights.data is None:
            return []
        if weights.dtype != "float32" or weights.shape[-1] != target.shape[-1]:
            return []
    return [reader for reader, _ in readers]


def _even(graph: Graph, op: Op, factors: Sequence[float]) -> None:
    readers = _readers(op, graph)
    columns = np.concatenate(
        [
            np.full(t.shape[-1], f, np.float32)
            for t, f in zip(op.inputs, factors, strict=True)
            if t is not None
        ]
    )
    for position, factor in enumerate(factors):
        if factor != 1.0:
            _scale_part(graph, op, position, factor)
    for reader in dict.fromkeys(readers):
        weights = reader.operand(1)
        scaled = np.asarray(weights.values / columns, np.float32)
        graph.set_input(reader, 1, Tensor(weights.name, weights.shape, data=scaled))


def _scale_part(graph: Graph, op: Op, position: int, factor: float) -> None:
    tensor = op.operand(position)
    alone = len(tensor.consumers) == 1 and tensor not in graph.outputs
    if alone and can_standardize(tensor) and tensor.producer is not None:
        scale_rows(graph, tensor.producer, np.full(tensor.shape[-1], factor, np.float32))
        return
    made = Tensor(f"{tensor.name}/evened", tensor.shape, shape_signature=tensor.shape_signature)
    values: npt.NDArray[np.float32] = np.array(factor, np.float32)
    constant = Tensor(f"{tensor.name}/factor", (), data=values)
    new = Op("MUL", [tensor, constant], [made], {"fusedActivationFunction": 0}, "MulOptions")
    graph.insert_before(op, new)
    graph.set_input(op, position, made)


def _movers_behind(op: Op) -> Iterator[Op]:
    """The ops behind that only move what is joined; behind them each value has a scale of its own."""
    todo = [op]
    while todo:
        for tensor in todo.pop().outputs:
            for reader, _ in tensor.consumers:
                if only_moves(reader):
                    yield reader
                    todo.append(reader)

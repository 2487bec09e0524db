"""WHILE loops of a known number of turns written out, for schemes and devices that have no loop.

Each turn is a copy of the loop's body. What only counts (the number of the turn, the place of a row) is
computed beforehand. Rows that the turns write into a carried tensor, by DYNAMIC_UPDATE_SLICE or as TensorFlow
does it (SLICE, CONCATENATION), are put together by one CONCATENATION at the end.
"""

from __future__ import annotations

from tightfit.graph.copying import copy_tensor
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.clean import remove_dead_ops
from tightfit.graph.passes.constant_folding import kept_tensors
from tightfit.graph.passes.edits import reshape_op
from tightfit.graph.passes.loop_rows import gathered
from tightfit.graph.passes.loop_turns import KIND, Loop, Rows, find_loop
from tightfit.graph.passes.unrolled_lstm import LONGEST
from tightfit.graph.passes.unused_graphs import remove_unused_graphs


def countable_loops(model: Model) -> dict[Op, list[Rows]]:
    """Return the loops that ``unroll_loops`` writes out, each with the rows that its turns write.

    Condition: turns, rows and sizes are known, and loops of one body have at most ``LONGEST`` turns together.
    """
    found: dict[Op, list[Rows]] = {}
    total: dict[int, int] = {}
    for op in [op for graph in model.graphs for op in graph.ops if op.kind == KIND]:
        loop, body = find_loop(model, op), _body(op)
        turns = None if loop is None or total.get(body, 0) > LONGEST else loop.turns(LONGEST)
        total[body] = total.get(body, 0) + (LONGEST + 1 if turns is None else len(turns))
        if loop is not None and turns is not None and loop.can_write_out(turns):
            found[op] = turns
    return {op: turns for op, turns in found.items() if total[_body(op)] <= LONGEST}


def _body(op: Op) -> int:
    return int(op.options.get("bodySubgraphIndex", -1))


def unroll_loops(model: Model) -> list[str]:
    """Write out every loop that ``countable_loops`` names, in place.

    Returns:
        A sentence where something changed.
    """
    turns, done = countable_loops(model), list[str]()
    for graph in model.graphs:
        kept = kept_tensors(model, graph)
        for op in [op for op in graph.ops if op in turns]:
            loop = find_loop(model, op)
            if loop is not None:
                _write_out(graph, op, loop, turns[op], kept)
                done.append(op.name)
    if done:
        remove_dead_ops(model)
        remove_unused_graphs(model)
    return [f"Written out turn by turn: {', '.join(done)}."] if done else []


def _write_out(graph: Graph, op: Op, loop: Loop, turns: list[Rows], kept: set[Tensor]) -> None:
    """Replace a loop by its turns, in place."""
    carried = [t for t in op.inputs if t is not None]
    rows: dict[int, dict[int, Tensor]] = {k: {} for k in loop.writes}
    for number, places in enumerate(turns):
        turn = loop.turn(loop.body, carried, f"_{number}")
        for k, row in loop.writes.items():
            rows[k][places[k]] = turn.copies[row.value]
        graph.move_in(op, turn.part)
        carried = turn.outputs
    for k, written in rows.items():
        carried[k] = copy_tensor(op.outputs[k])
        graph.insert_before(op, gathered(op.operand(k), written, carried[k]))
    _hand_over(graph, op, carried, kept)


def _hand_over(graph: Graph, op: Op, carried: list[Tensor], kept: set[Tensor]) -> None:
    """Remove a loop; what it wrote is what the last turn did. Tensors that callers name stay."""
    position = graph.ops.index(op)
    graph.remove(op)
    for result, found in zip(op.outputs, carried, strict=True):
        if result in kept:
            graph.insert(position, reshape_op(found, result))
            position += 1
        else:
            graph.replace_uses(result, found)

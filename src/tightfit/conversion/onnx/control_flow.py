"""ONNX loops and lists: a ``.tflite`` has one straight graph, so that loops of known length are written out.

Source: the If, Loop, Scan and Sequence documents of ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
import onnx

from tightfit.conversion.onnx.onnx_values import OnnxNode, logical
from tightfit.errors import ModelError
from tightfit.graph.passes.unrolled_lstm import LONGEST

Run = Callable[[onnx.GraphProto, dict[str, Any]], list[Any]]
"""Computes a graph in a node: (graph, its inputs by name) → its outputs."""


def control(node: OnnxNode, graphs: dict[str, onnx.GraphProto], inputs: list[Any], run: Run) -> list[Any]:
    """Return the outputs of If, Loop or Scan.

    Args:
        node: the node.
        graphs: attribute → graph.
        inputs: of the node.
        run: see ``Run``.

    Raises:
        ModelError: how often or what it runs is only known at run time.
    """
    return _CONTROLS[node.kind](node, graphs, inputs, run)


def _branch(n: OnnxNode, graphs: dict[str, onnx.GraphProto], inputs: list[Any], run: Run) -> list[Any]:
    """If: its condition is known once the shapes are."""
    condition = inputs[0]
    if not _is_known(condition):
        raise ModelError(
            f"The ONNX op If '{n.name}' decides by a value of run time; a .tflite needs one graph. "
            "Hold the input that decides at a value (--hold NAME=NUMBER), or export one branch."
        )
    return run(graphs["then_branch" if bool(np.asarray(condition).reshape(())) else "else_branch"], {})


def _loop(n: OnnxNode, graphs: dict[str, onnx.GraphProto], inputs: list[Any], run: Run) -> list[Any]:
    body, (count, condition, *state) = graphs["body"], [*inputs, None][: max(2, len(inputs))]
    most = LONGEST if count is None else int(n.constant(count, "number of turns").reshape(()))
    names = [i.name for i in body.input]
    columns: list[list[Any]] = [[] for _ in body.output[1 + len(state) :]]
    turn = 0
    while turn < most and (condition is None or _holds(n, condition)):
        if turn >= LONGEST:
            raise n.refuse(f"would be written out over more than {LONGEST} turns")
        given = dict(zip(names, [np.int64(turn), np.asarray(True), *state], strict=True))
        condition, *rest = run(body, given)
        state, rows = rest[: len(state)], rest[len(state) :]
        for column, row in zip(columns, rows, strict=True):
            column.append(row)
        turn += 1
    if turn == 0 and columns:
        raise n.refuse("makes no turn, so that what it gathers is empty")
    return [*state, *(_stacked(c, 0) for c in columns)]


def _holds(n: OnnxNode, condition: Any) -> bool:
    return bool(n.constant(condition, "condition").reshape(()))


def _scan(n: OnnxNode, graphs: dict[str, onnx.GraphProto], inputs: list[Any], run: Run) -> list[Any]:
    body, count = graphs["body"], n.get("num_scan_inputs")
    if n.opset < 9:
        raise n.refuse("is that of an opset before 9; export the model with a newer one")
    state, given = inputs[: len(inputs) - count], [logical(i) for i in inputs[len(inputs) - count :]]
    axes = n.get("scan_input_axes") or [0] * count
    turns = given[0].shape[axes[0]]
    if turns > LONGEST:
        raise n.refuse(f"would be written out over {turns} turns, more than {LONGEST}")
    backward = n.get("scan_input_directions") or [0] * count
    columns: list[list[Any]] = [[] for _ in body.output[len(state) :]]
    for turn in range(turns):
        places = [turns - 1 - turn if b else turn for b in backward]
        slices = [_taken(x, p, a) for x, p, a in zip(given, places, axes, strict=True)]
        results = run(body, dict(zip([i.name for i in body.input], [*state, *slices], strict=True)))
        state = results[: len(state)]
        for column, row in zip(columns, results[len(state) :], strict=True):
            column.append(row)
    output_axes = n.get("scan_output_axes") or [0] * len(columns)
    reversed_ = n.get("scan_output_directions") or [0] * len(columns)
    ordered = [c[::-1] if r else c for c, r in zip(columns, reversed_, strict=True)]
    return [*state, *(_stacked(c, a) for c, a in zip(ordered, output_axes, strict=True))]


def _taken(x: Any, place: int, axis: int) -> Any:
    return x[(slice(None),) * (axis % x.ndim) + (place,)]


def _stacked(values: list[Any], axis: int) -> Any:
    plain = [logical(v) for v in values]
    return (np if all(_is_known(v) for v in plain) else jnp).stack(plain, axis=axis)


def _is_known(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic)


_CONTROLS: Final = {"If": _branch, "Loop": _loop, "Scan": _scan}
CONTROL: Final = frozenset(_CONTROLS)


# -- lists -----------------------------------------------------------------------------------------


def _at(n: OnnxNode, values: list[Any], position: Any) -> Any:
    return values[int(n.constant(position, "position").reshape(()))]


def _inserted(n: OnnxNode, values: list[Any], value: Any, position: Any = None) -> Any:
    place = len(values) if position is None else int(n.constant(position, "position").reshape(()))
    return [*values[:place], value, *values[place:]] if place >= 0 else _inserted(
        n, values, value, np.asarray(place + len(values)))  # fmt: skip


def _erased(n: OnnxNode, values: list[Any], position: Any = None) -> Any:
    place = -1 if position is None else int(n.constant(position, "position").reshape(()))
    place %= len(values)
    return [*values[:place], *values[place + 1 :]]


def _joined(n: OnnxNode, values: list[Any]) -> Any:
    plain, axis = [logical(v) for v in values], n.get("axis")
    if n.get("new_axis", 0):
        return _stacked(plain, axis)
    return (np if all(_is_known(v) for v in plain) else jnp).concatenate(plain, axis=axis)


def _parted(n: OnnxNode, x: Any, sizes: Any = None) -> Any:
    x, axis = logical(x), n.get("axis", 0)
    length = x.shape[axis]
    if sizes is None:
        parts = [_taken(x, i, axis) for i in range(length)]
        return parts if not n.get("keepdims", 1) else [jnp.expand_dims(p, axis) for p in parts]
    chosen = n.constant(sizes, "sizes")
    cuts = np.cumsum(chosen)[:-1] if chosen.ndim else np.arange(int(chosen), length, int(chosen))
    return list((np if _is_known(x) else jnp).split(x, [int(c) for c in cuts], axis=axis))


_LISTS: Final[dict[str, Callable[..., Any]]] = {
    "ConcatFromSequence": _joined, "SequenceAt": _at, "SequenceConstruct": lambda _, *values: list(values),
    "SequenceEmpty": lambda _: [], "SequenceErase": _erased, "SequenceInsert": _inserted,
    "SequenceLength": lambda _, values: np.asarray(len(values), np.int64), "SplitToSequence": _parted,
}  # fmt: skip
LISTS: Final = frozenset(_LISTS)


def of_lists(node: OnnxNode, inputs: Sequence[Any]) -> list[Any]:
    """Return the output of an op that makes, changes or reads a list; lists are Python's while tracing."""
    given = list(inputs)
    while given and given[-1] is None:
        given.pop()
    return [_LISTS[node.kind](node, *given)]

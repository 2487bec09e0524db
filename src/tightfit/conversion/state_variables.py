"""State that a source model carries from call to call: inputs and outputs of a file become its variables.

A pure function takes the state and returns the next one. In a ``.tflite`` a VAR_HANDLE names the variable,
READ_VARIABLE and ASSIGN_VARIABLE move it, and CALL_ONCE runs a graph with its initial value before the first
call. Source: ``var_handle.cc``, ``read_variable.cc``, ``assign_variable.cc``, ``call_once.cc`` of LiteRT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.types import Array


@dataclass(frozen=True)
class StateValue:
    """One variable: the input that takes it, the output that is its next value.

    Args:
        name: of the variable.
        given: the input's name.
        next_value: the output's name.
        initial: its value before the first call.
    """

    name: str
    given: str
    next_value: str
    initial: Array


def keep_state(model: Model, state: Sequence[StateValue]) -> None:
    """Replace inputs and outputs of the main graph by variables, in place.

    Args:
        model: one signature names the inputs and outputs.
        state: the variables; their inputs and outputs are removed.
    """
    if not state:
        return
    graph, signature = model.main, model.signatures[0]
    values = [
        (each, signature.inputs.pop(each.given), signature.outputs.pop(each.next_value)) for each in state
    ]
    kept_inputs, kept_outputs = set(signature.inputs.values()), set(signature.outputs.values())
    graph.inputs = [t for t in graph.inputs if t in kept_inputs]
    graph.outputs = [t for t in graph.outputs if t in kept_outputs]
    first = Op("CALL_ONCE", [], [], {"initSubgraphIndex": len(model.graphs)}, "CallOnceOptions")
    begin = [first]
    for each, read, _ in values:
        handle = _handle(each.name)
        begin += [handle, Op("READ_VARIABLE", [handle.outputs[0]], [read], {}, "ReadVariableOptions")]
    for place, op in enumerate(begin):
        graph.insert(place, op)
    handles = [op.outputs[0] for op in begin if op.kind == "VAR_HANDLE"]
    for handle_, (_, _, written) in zip(handles, values, strict=True):
        graph.append(Op("ASSIGN_VARIABLE", [handle_, written], [], {}, "AssignVariableOptions"))
    model.graphs.append(_initial(state))


def _initial(state: Sequence[StateValue]) -> Graph:
    """The graph that gives every variable its first value."""
    graph = Graph("initial_state")
    for each in state:
        handle = graph.append(_handle(each.name))
        value = Tensor(f"{each.name}/initial", each.initial.shape, each.initial.dtype.name, each.initial)
        graph.append(Op("ASSIGN_VARIABLE", [handle.outputs[0], value], [], {}, "AssignVariableOptions"))
    return graph


def _handle(name: str) -> Op:
    options = {"container": b"", "sharedName": name.encode()}
    return Op("VAR_HANDLE", [], [Tensor(f"{name}/handle", (), "resource")], options, "VarHandleOptions")

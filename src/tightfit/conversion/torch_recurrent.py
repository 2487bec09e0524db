"""Torch LSTMs as one op of ``.tflite`` for each layer and direction, where the op computes the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from litert_torch.backend.composite.stablehlo_composite_builder import StableHLOCompositeBuilder

from tightfit.conversion.fusions.composites import PREFIX
from tightfit.graph.ops.sequence_lstm import KIND

_LSTM: Final = torch.ops.aten.lstm.input
_ZEROS: Final = (torch.ops.aten.zeros.default, torch.ops.aten.zeros_like.default)
_CELLS: Final = 2
"""The place of the last cell states among the results."""


def with_fused_lstms(module: Any, samples: tuple[Any, ...]) -> Any:
    """Return a module whose LSTMs are composites that become one op; None where none can be.

    Condition: zero states at the start, no projection, and nothing reads the last cell states.

    Args:
        module: in evaluation mode.
        samples: its example inputs.
    """
    if not _has_lstm(module):
        return None
    traced = torch.export.export(module, samples).module()
    found = [node for node in traced.graph.nodes if node.target == _LSTM and _is_plain(node)]
    for node in found:
        x, _, parameters, has_biases, layers, _, _, bidirectional, batch_first = node.args
        options = (bool(has_biases), int(layers), 2 if bidirectional else 1, bool(batch_first))
        with traced.graph.inserting_before(node):
            new = traced.graph.call_function(_stacked, (x, *options, *parameters))
        node.replace_all_uses_with(new)
        traced.graph.erase_node(node)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced if found else None


def _has_lstm(module: Any) -> bool:
    nodes = module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ()
    modules = any(isinstance(part, torch.nn.LSTM) for part in module.modules())
    return modules or any(node.target == _LSTM for node in nodes)


def _is_plain(node: Any) -> bool:
    """From zero, without projection, and the last cell states are read by nothing."""
    _, states, parameters, has_biases, layers, _, _, both_ways, _ = node.args
    count = (4 if has_biases else 2) * layers * (2 if both_ways else 1)
    taken = [user.args[1] for user in node.users if user.users]
    zero = all(getattr(state, "target", None) in _ZEROS for state in states)
    return zero and len(parameters) == count and _CELLS not in taken


def _stacked(
    x: Any, has_biases: bool, layers: int, directions: int, batch_first: bool, *parameters: Any
) -> tuple[Any, Any, Any]:
    """The results of ``torch.lstm``; the last cell states are zeros, which nothing reads."""
    each = len(parameters) // (layers * directions)
    given, lasts = (x if batch_first else x.transpose(0, 1)), []
    for layer in range(layers):
        parts = []
        for direction in range(directions):
            start = each * (layer * directions + direction)
            y = _one_op(given.flip(1) if direction else given, parameters[start : start + each], has_biases)
            lasts.append(y[:, -1])
            parts.append(y.flip(1) if direction else y)
        given = torch.cat(parts, 2) if directions == 2 else parts[0]
    last = torch.stack(lasts, 0)
    return (given if batch_first else given.transpose(0, 1)), last, torch.zeros_like(last)


def _one_op(x: Any, parameters: Sequence[Any], has_biases: bool) -> Any:
    """One layer in one direction; torch has the gates in the op's order: input, forget, cell, output."""
    weights, recurrent = parameters[:2]
    bias = parameters[2] + parameters[3] if has_biases else torch.zeros_like(weights[:, 0])
    units = recurrent.shape[1]
    builder = StableHLOCompositeBuilder(f"{PREFIX}{KIND}")
    x, weights, recurrent, bias = builder.mark_inputs(x, weights, recurrent, bias)
    shape_of_result = x[:, :, :1].expand(-1, -1, units) + bias[:units] + recurrent[0] + weights[0, 0]
    return builder.mark_outputs(shape_of_result)

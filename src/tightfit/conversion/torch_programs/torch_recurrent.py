"""Torch LSTMs as one op of ``.tflite`` for each layer and direction, and long GRUs as loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from litert_torch.backend.composite.stablehlo_composite_builder import StableHLOCompositeBuilder

from tightfit.conversion.fusions.composites import PREFIX
from tightfit.conversion.torch_programs import torch_loops
from tightfit.graph.ops.sequence_lstm import KIND

_LSTM: Final = torch.ops.aten.lstm.input
_ZEROS: Final = (torch.ops.aten.zeros.default, torch.ops.aten.zeros_like.default)
_CELLS: Final = 2
"""The place of the last cell states among the results."""


@torch.library.custom_op("tightfit::sequence_lstm", mutates_args=())  # type: ignore[untyped-decorator]  # torch has no types here
def _whole(
    x: torch.Tensor, parameters: list[torch.Tensor], biases: bool, layers: int, both: bool, first: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stand for a module while it is traced: torch itself would trace every step."""
    raise NotImplementedError


@_whole.register_fake  # type: ignore[untyped-decorator]  # the same
def _(
    x: torch.Tensor, parameters: list[torch.Tensor], biases: bool, layers: int, both: bool, first: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    del biases
    ways, units = 2 if both else 1, parameters[1].shape[1]
    batch = x.shape[0 if first else 1]
    states = [x.new_empty(layers * ways, batch, units) for _ in range(2)]
    return x.new_empty(*x.shape[:2], ways * units), states[0], states[1]


_WHOLE: Final = torch.ops.tightfit.sequence_lstm.default


def with_whole_layers(module: Any, samples: tuple[Any, ...], *, loops: bool) -> Any:
    """Return a module whose LSTMs and long GRUs are composites; None where none of them can be.

    Condition for an LSTM: zero states at the start, no projection, and nothing reads the last cell states.

    Args:
        module: in evaluation mode.
        samples: its example inputs.
        loops: whether GRUs become loops.
    """
    if not _has_layers(module):
        return None
    with _as_one_op(module, loops=loops):
        traced = torch.export.export(module, samples).module()
    forms = _FORMS if loops else _FORMS[:1]
    found = [(node, form) for node in traced.graph.nodes for form in forms if node.target in form.targets]
    count = 0
    for node, form in found:
        given = form.arguments(node)
        if given is None and form.must:
            return None
        if given is None:
            continue
        with traced.graph.inserting_before(node):
            node.replace_all_uses_with(traced.graph.call_function(form.function, given))
        traced.graph.erase_node(node)
        count += 1
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced if count else None


def _has_layers(module: Any) -> bool:
    nodes = module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ()
    modules = [*_modules(module, torch.nn.LSTM), *_modules(module, torch.nn.GRU)]
    return bool(modules) or any(node.target in (_LSTM, torch_loops.GRU) for node in nodes)


def _modules(module: Any, kind: Any) -> list[Any]:
    return [m for m in module.modules() if type(m) is kind and not getattr(m, "proj_size", 0)]


@contextmanager
def _as_one_op(module: Any, *, loops: bool) -> Iterator[None]:
    """Let LSTMs that begin from zero, and long GRUs, call one operator within the block."""
    lstms, grus = _modules(module, torch.nn.LSTM), _modules(module, torch.nn.GRU) if loops else []
    parts = [*lstms, *grus]
    for part in lstms:
        part.forward = _one_call(part, part.forward)
    for part in grus:
        part.forward = torch_loops.one_call(part, part.forward)
    try:
        yield
    finally:
        for part in parts:
            del part.forward


def _one_call(part: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(x: Any, hx: Any = None) -> Any:
        if hx is not None or not isinstance(x, torch.Tensor) or x.ndim != 3:
            return forward(x, hx)
        weights = list(part._flat_weights)  # noqa: SLF001 - the order that torch.lstm takes
        options = (part.bias, part.num_layers, part.bidirectional, part.batch_first)
        y, hidden, cell = _whole(x, weights, *options)
        return y, (hidden, cell)

    return call


def _plain_arguments(node: Any) -> tuple[Any, ...] | None:
    """The arguments of ``_stacked``; None where the op does not compute what is read."""
    taken = [user.args[1] for user in node.users if user.users]
    if _CELLS in taken:
        return None
    if node.target == _WHOLE:
        x, parameters, has_biases, layers, both, first = node.args
        return (x, has_biases, layers, 2 if both else 1, first, *parameters)
    x, states, parameters, has_biases, layers, _, _, both, first = node.args
    count = (4 if has_biases else 2) * layers * (2 if both else 1)
    zero = all(getattr(state, "target", None) in _ZEROS for state in states)
    if not zero or len(parameters) != count:
        return None
    return (x, bool(has_biases), int(layers), 2 if both else 1, bool(first), *parameters)


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


@dataclass(frozen=True)
class _Form:
    """How nodes of a kind are replaced.

    Args:
        targets: of the nodes.
        arguments: of a node, the arguments of ``function``; None where it does not compute the node.
        function: what replaces the node.
        must: whether a node that stays makes the whole module be converted as it is.
    """

    targets: tuple[Any, ...]
    arguments: Callable[[Any], tuple[Any, ...] | None]
    function: Callable[..., Any]
    must: bool


_FORMS: Final = (
    _Form((_LSTM, _WHOLE), _plain_arguments, _stacked, must=True),
    _Form((torch_loops.GRU, torch_loops.WHOLE), torch_loops.loop_arguments, torch_loops.stacked, must=False),
)

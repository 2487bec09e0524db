"""Long torch GRUs as loops of ``.tflite``; see ``graph.ops.recurrent_loop``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from litert_torch.backend.composite.stablehlo_composite_builder import StableHLOCompositeBuilder

from tightfit.conversion.fusions.composites import PREFIX
from tightfit.graph.ops.recurrent_loop import LOOP_FROM

GRU: Final = torch.ops.aten.gru.input


@torch.library.custom_op("tightfit::looped_gru", mutates_args=())  # type: ignore[untyped-decorator]  # torch has no types here
def _whole(
    x: torch.Tensor, first: torch.Tensor, parameters: list[torch.Tensor], biases: bool,
    both: bool, batch_first: bool,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Stand for a module while it is traced: torch itself would trace every step."""
    raise NotImplementedError


@_whole.register_fake  # type: ignore[untyped-decorator]  # the same
def _(
    x: torch.Tensor, first: torch.Tensor, parameters: list[torch.Tensor], biases: bool,
    both: bool, batch_first: bool,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    del biases, batch_first
    return x.new_empty(*x.shape[:2], (2 if both else 1) * parameters[1].shape[1]), torch.empty_like(first)


WHOLE: Final = torch.ops.tightfit.looped_gru.default


def one_call(part: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the forward of a ``torch.nn.GRU`` that is one operator where the sequence is long."""

    def call(x: Any, hx: Any = None) -> Any:
        if (
            not isinstance(x, torch.Tensor)
            or x.ndim != 3
            or x.shape[1 if part.batch_first else 0] <= LOOP_FROM
        ):
            return forward(x, hx)
        weights = list(part._flat_weights)  # noqa: SLF001 - the order that torch.gru takes
        both, batch = part.bidirectional, x.shape[0 if part.batch_first else 1]
        first = (
            x.new_zeros(part.num_layers * (2 if both else 1), batch, part.hidden_size) if hx is None else hx
        )
        return _whole(x, first, weights, part.bias, both, part.batch_first)

    return call


def loop_arguments(node: Any) -> tuple[Any, ...] | None:
    """The arguments of ``stacked``; None for a short sequence, which stays as torch writes it out."""
    if node.target == WHOLE:
        x, first, parameters, biases, both, batch_first = node.args
    else:
        x, first, parameters, biases, _, _, _, both, batch_first = node.args
    steps = x.meta["val"].shape[1 if batch_first else 0]
    if not isinstance(steps, int) or steps <= LOOP_FROM:
        return None
    return (x, first, bool(biases), 2 if both else 1, bool(batch_first), *parameters)


def stacked(
    x: Any, first: Any, has_biases: bool, directions: int, batch_first: bool, *parameters: Any
) -> tuple[Any, Any]:
    """The results of ``torch.gru``."""
    layers = first.shape[0] // directions
    each = len(parameters) // first.shape[0]
    given, lasts = (x.transpose(0, 1) if batch_first else x), []
    for layer in range(layers):
        parts = []
        for direction in range(directions):
            place = layer * directions + direction
            own = parameters[each * place : each * (place + 1)]
            y = _looped(given.flip(0) if direction else given, first[place], own, has_biases)
            lasts.append(y[-1])
            parts.append(y.flip(0) if direction else y)
        given = torch.cat(parts, 2) if directions == 2 else parts[0]
    return (given.transpose(0, 1) if batch_first else given), torch.stack(lasts, 0)


def _looped(x: Any, first: Any, parameters: Sequence[Any], has_biases: bool) -> Any:
    """One layer in one direction, steps first; torch has the gates in the order reset, update, new."""
    weights, recurrent = (_update_first(p) for p in parameters[:2])
    zeros = torch.zeros_like(weights[:, 0])
    given, bias = (_update_first(p) for p in parameters[2:4]) if has_biases else (zeros, zeros)
    gates, units = torch.nn.functional.linear(x, weights, given), recurrent.shape[1]
    builder = StableHLOCompositeBuilder(f"{PREFIX}GRU.after_1")
    gates, first, recurrent, bias = builder.mark_inputs(gates, first, recurrent, bias)
    return builder.mark_outputs(gates[:, :, :units] + first.unsqueeze(0) + recurrent[0] + bias[:units])


def _update_first(rows: Any) -> Any:
    reset, update, new = rows.chunk(3, 0)
    return torch.cat([update, reset, new], 0)

"""Torch graphs rewritten to forms that litert-torch takes, after it has refused them as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch.nn import functional

_TARGETS: Final = (
    torch.ops.aten.conv_transpose1d.default,
    torch.ops.aten.conv_transpose2d.input,
    torch.ops.aten.conv_transpose3d.input,
)
_KERNELS: Final = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)
_DEFAULTS: Final = (None, 1, 0, 0, 1, 1)


def without_crops(module: Any, samples: tuple[Any, ...]) -> Any:
    """Return a module whose transposed convolutions crop in a step of its own; None where it has none.

    litert-torch 0.10 has no form for kernel 3, stride 2 and padding 1, the usual layer of a decoder.

    Args:
        module: in evaluation mode.
        samples: its example inputs.
    """
    traced = torch.export.export(module, samples).module()
    found = [node for node in traced.graph.nodes if node.target in _TARGETS]
    for node in found:
        with traced.graph.inserting_before(node):
            rest = (*node.args[2:], *_DEFAULTS[len(node.args) - 2 :])
            new = traced.graph.call_function(_whole_then_cut, (*node.args[:2], *rest), dict(node.kwargs))
        node.replace_all_uses_with(new)
        traced.graph.erase_node(node)
    traced.recompile()
    return traced if found else None


def _whole_then_cut(  # noqa: PLR0913, PLR0917 - the arguments of conv_transpose
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    """A transposed convolution without padding, cropped and extended at its end."""
    rank = x.ndim - 2
    y = _KERNELS[rank - 1](x, weight, None, stride, 0, 0, groups, dilation)
    cuts, extras = _each(padding, rank), _each(output_padding, rank)
    for axis, (cut, extra) in enumerate(zip(cuts, extras, strict=True), 2):
        missing = max(0, extra - cut)
        if missing:
            y = functional.pad(y, [0, 0] * (y.ndim - 1 - axis) + [0, missing])
        y = y.narrow(axis, cut, y.shape[axis] - missing - 2 * cut + extra)
    return y if bias is None else y + bias.reshape(1, -1, *[1] * rank)


def _each(value: Any, rank: int) -> Sequence[int]:
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    return numbers * rank if len(numbers) == 1 else numbers

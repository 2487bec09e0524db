"""Batches through a graph that was made for one sample.

Every value that depends on the inputs has one more axis than its tensor in the graph: the batch, as first
axis. The tensor's own first axis (mostly of size 1) is kept. So an op on axis k of the file works on axis k +
1 here, whatever it does with the first axis, and reshapes need no special rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from keras import ops

from tightfit.graph.ir import Op
from tightfit.graph.ops.activations import fused_activation

_ACTIVATIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "RELU": ops.relu, "RELU6": ops.relu6, "RELU_N1_TO_1": lambda x: ops.clip(x, -1.0, 1.0),
    "TANH": ops.tanh, "SIGN_BIT": lambda x: ops.cast(x < 0, x.dtype),
}  # fmt: skip


def own_shape(value: Any) -> tuple[int, ...]:
    """Return the shape of one sample: the tensor's shape in the file."""
    return tuple(int(d) for d in value.shape[1:])


def merge(value: Any) -> Any:
    """Return (batch, n, …) as (batch · n, …), for convolutions and pools."""
    return ops.reshape(value, (-1, *own_shape(value)[1:]))


def split(value: Any, count: int) -> Any:
    """Return (batch · n, …) as (batch, n, …)."""
    return ops.reshape(value, (-1, count, *own_shape(value)))


def axis_of(axis: int, rank: int) -> int:
    """Return the axis of a batched value for an axis of the file, which may count from the end.

    Example:
        >>> axis_of(-1, 3), axis_of(0, 3)
        (3, 1)
    """
    return axis % rank + 1


def align(values: Sequence[Any]) -> list[Any]:
    """Return the values with axes of one after the batch, so that they broadcast as in the file."""
    rank = max(len(v.shape) for v in values)
    return [with_rank(v, rank) for v in values]


def with_rank(value: Any, rank: int) -> Any:
    """Return a value with axes of size one after the batch, up to a rank (including the batch)."""
    missing = rank - len(value.shape)
    if missing <= 0:
        return value
    return ops.reshape(value, (-1, *([1] * missing), *own_shape(value)))


def spread(values: Sequence[Any]) -> list[Any]:
    """Return the values with one batch size; values that do not depend on the inputs are repeated."""
    leader = next((v for v in values if v.shape[0] != 1), None)
    if leader is None:
        return list(values)
    count = ops.shape(leader)[0]
    return [
        ops.broadcast_to(v, (count, *own_shape(v))) if v.shape[0] == 1 and v is not leader else v
        for v in values
    ]


def lift(value: Any) -> Any:
    """Return a value of the graph (a constant, a variable) as a batch of one."""
    return ops.expand_dims(ops.convert_to_tensor(value), 0)


def fused(op: Op, value: Any) -> Any:
    """Return a value after the fused activation function of an op."""
    name = fused_activation(op)
    return _ACTIVATIONS[name](value) if name else value


def integers(value: Any) -> list[int]:
    """Return a static operand (a shape, axes, paddings) as a flat list."""
    return [int(v) for v in np.asarray(value).reshape(-1)]


def same_padding(x: Any, window: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Any:
    """Return images (batch, height, width, channels) with the zero padding of SAME.

    The padding is ``(out - 1) · stride + span - in`` along an axis, an odd one at the end.

    Args:
        x: the images.
        window: (height, width) of the kernel.
        strides: (vertical, horizontal).
        dilations: (vertical, horizontal).
    """
    widths = [(0, 0)]
    for i in (0, 1):
        size, span = int(x.shape[i + 1]), dilations[i] * (int(window[i]) - 1) + 1
        total = max((-(-size // strides[i]) - 1) * strides[i] + span - size, 0)
        widths.append((total // 2, total - total // 2))
    return ops.pad(x, (*widths, (0, 0)))

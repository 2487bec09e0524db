"""The padding of a pooling op: SAME or VALID where they are exact, else an op before it.

Padding must not change a result. Zeros do not change a sum, and not a maximum of values that are never
negative; values mirrored at the border do not change a maximum while the window that reads them reads what
they mirror. Only what is left is padded with the lowest float, which costs an integer scheme its range.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from tightfit.conversion.windows.window_axis import WindowAxis
from tightfit.graph.ir import Op, Tensor
from tightfit.graph.passes.edits import constant

SAME: Final = 0
VALID: Final = 1
_SYMMETRIC: Final = 1
_LOWEST: Final = np.finfo(np.float32).min
_KEEPS_SIGN: Final = frozenset(
    {"RESHAPE", "TRANSPOSE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "SLICE", "STRIDED_SLICE", "PAD", "SQUEEZE"}
)
_NEVER_NEGATIVE: Final = frozenset(
    {"RELU", "RELU6", "RELU_0_TO_1", "LOGISTIC", "SOFTMAX", "ABS", "EXP", "SQRT"}
)
_RELU, _RELU6 = 1, 3


def pad_window(
    op: Op, x: Tensor, axes: tuple[WindowAxis, WindowAxis], combine: str, *, explicit: bool = False
) -> tuple[Tensor, tuple[WindowAxis, WindowAxis], int]:
    """Return what a pooling op reads, its height and width, and its ``padding`` option.

    Args:
        op: new ops stand before it.
        x: (images, height, width, channels).
        axes: height and width.
        combine: ADD or MAXIMUM.
        explicit: never answer SAME.
    """
    if not any(p for axis in axes for p in axis.pads):
        return x, axes, VALID
    if not explicit and all(axis.pads == axis.same_pads() for axis in axes):
        return x, axes, SAME
    x = _cut(op, x, axes)
    axes = (_without_cuts(axes[0]), _without_cuts(axes[1]))
    if any(p for axis in axes for p in axis.pads):
        x = _widen(op, x, axes, combine)
    height, width = (replace(a, size=a.size + sum(a.pads), pads=(0, 0)) for a in axes)
    return x, (height, width), VALID


def is_never_negative(tensor: Tensor | None) -> bool:
    """Return True when the op that made a tensor gives no negative value."""
    while tensor is not None and tensor.producer is not None:
        op = tensor.producer
        if op.kind in _NEVER_NEGATIVE or op.options.get("fusedActivationFunction", 0) in (_RELU, _RELU6):
            return True
        if op.kind not in _KEEPS_SIGN:
            return False
        tensor = op.input(0)
    return False


def _without_cuts(axis: WindowAxis) -> WindowAxis:
    low, high = axis.pads
    return replace(axis, size=axis.size + min(0, low) + min(0, high), pads=(max(0, low), max(0, high)))


def _cut(op: Op, x: Tensor, axes: tuple[WindowAxis, WindowAxis]) -> Tensor:
    """Take off what negative padding takes off."""
    begin = [0, *(max(0, -a.pads[0]) for a in axes), 0]
    sizes = [_without_cuts(a).size for a in axes]
    if x.shape[1:3] == tuple(sizes):
        return x
    kept = constant(f"{op.name}/begin", begin), constant(f"{op.name}/sizes", [-1, *sizes, -1])
    result = _like(x, f"{op.name}/cut", (x.shape[0], *sizes, x.shape[3]))
    _before(op, Op("SLICE", [x, *kept], [result], {}, "SliceOptions"))
    return result


def _widen(op: Op, x: Tensor, axes: tuple[WindowAxis, WindowAxis], combine: str) -> Tensor:
    widths = [(0, 0), *(a.pads for a in axes), (0, 0)]
    table = constant(f"{op.name}/widths", widths)
    shape = [size + sum(pair) for size, pair in zip(x.shape, widths, strict=True)]
    result = _like(x, f"{op.name}/padded", shape)
    if combine == "ADD" or is_never_negative(x):
        made = Op("PAD", [x, table], [result], {}, "PadOptions")
    elif all(2 * max(a.pads) <= a.window and max(a.pads) <= a.size and a.dilation == 1 for a in axes):
        made = Op("MIRROR_PAD", [x, table], [result], {"mode": _SYMMETRIC}, "MirrorPadOptions")
    else:
        made = Op("PADV2", [x, table, constant(f"{op.name}/lowest", _LOWEST, np.float32)], [result], {},
                  "PadV2Options")  # fmt: skip
    _before(op, made)
    return result


def _like(x: Tensor, name: str, shape: list[int] | tuple[int, ...]) -> Tensor:
    signature = (-1, *shape[1:]) if -1 in (x.shape_signature or ()) else None
    return Tensor(name, shape, x.dtype, shape_signature=signature)


def _before(op: Op, made: Op) -> None:
    op.owner.insert_before(op, made)

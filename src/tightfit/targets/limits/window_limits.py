"""Limits on windows and their sums: kernels, strides, padding, weights and biases. See ``tensor_limits``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from tightfit.graph.ir import Op
from tightfit.targets.limits.operand_roles import data, option, shape4, values, weights

SAME: Final = 0
VALID: Final = 1
_POOLS: Final = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D")


def kernel(op: Op) -> tuple[int, int]:
    """Return height and width of the window of a convolution or a pooling."""
    if op.kind in _POOLS:
        return int(option(op, "filterHeight", 1)), int(option(op, "filterWidth", 1))
    filters = weights(op)
    if filters is None or len(filters.shape) < 4:
        return 1, 1
    return filters.shape[1], filters.shape[2]


def strides(op: Op) -> tuple[int, int]:
    """Return the strides over height and width."""
    return int(option(op, "strideH", 1)), int(option(op, "strideW", 1))


def dilations(op: Op) -> tuple[int, int]:
    """Return the dilations over height and width."""
    return int(option(op, "dilationHFactor", 1)), int(option(op, "dilationWFactor", 1))


def padding(op: Op) -> tuple[int, int]:
    """Return the rows and columns that SAME padding adds in all: max(0, (⌈n/s⌉ − 1)·s + d·(k − 1) + 1 − n).

    Source: NeededTotalPadding in vela's ``regor/common/numeric_util.hpp``.
    """
    if option(op, "padding", SAME) != SAME:
        return 0, 0
    _, height, width, _ = shape4(data(op))
    sizes = zip((height, width), kernel(op), strides(op), dilations(op), strict=True)
    totals = [max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n) for n, k, s, d in sizes]
    return totals[0], totals[1]


def stride_at_most(op: Op, *, most: int) -> str | None:
    """Strides are at most {most}.

    Fix: stride in two steps, or use a pooling after a convolution of stride 1.
    """
    return None if max(strides(op)) <= most else f"its strides are {_by(strides(op))}"


def unrolled_stride(op: Op, *, most: int) -> str | None:
    """Strides above {most} need VALID padding and no dilation, unless the output has one row or column.

    Fix: stride in two steps: 2 in the convolution, the rest in a MAX_POOL_2D.
    """
    _, height, width, _ = shape4(op.outputs[0])
    (h, w), pads = strides(op), padding(op)
    if (w <= most or width == 1) and (h <= most or height == 1):
        return None
    if not any(pads) and dilations(op) == (1, 1):
        return None
    return f"its strides are {h}×{w}, its dilations {_by(dilations(op))}, its padding {_by(pads)}"


def stride_after_pad(op: Op, *, most: int) -> str | None:
    """A convolution with strides above {most} reads no PAD that vela folds into it.

    Fix: stride in two steps: 2 in the convolution, the rest in a MAX_POOL_2D.

    Source: ReplacePadByExplicitPadding in vela's ``regor/compiler/graphir_optimiser.cpp``; the folded
    convolution breaks the rule of ``unrolled_stride`` after vela has asked for it.
    """
    _, height, width, _ = shape4(op.outputs[0])
    h, w = strides(op)
    producer = data(op).producer
    if (
        producer is None
        or producer.kind != "PAD"
        or ((w <= most or width == 1) and (h <= most or height == 1))
    ):
        return None
    pads = _folded_padding(op, producer)
    folds = any(pads) and all(p < k for p, k in zip(pads, _extent(op) * 2, strict=True))
    return f"its strides are {h}×{w}, and it reads '{producer.name}'" if folds else None


def _folded_padding(op: Op, pad: Op) -> tuple[int, ...]:
    """Top, left, bottom, right padding after vela took the PAD in; zeros when it cannot."""
    amounts = values(pad, 1) or []
    if len(amounts) != 8 or any((*amounts[:2], *amounts[6:])) or any(padding(op)):
        return (0, 0, 0, 0)
    before, after = (amounts[2], amounts[4]), (amounts[3], amounts[5])
    sizes = zip(shape4(data(pad))[1:3], strides(op), _extent(op), before, after, strict=True)
    return (*before, *(_padding_after(*size) for size in sizes))


def _padding_after(size: int, stride: int, extent: int, before: int, after: int) -> int:
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    rest = after % stride - int(math.fmod(total - before, stride))
    return max(0, after - rest - (0 if rest >= 0 else stride))


def _extent(op: Op) -> tuple[int, int]:
    """Height and width that a dilated kernel covers."""
    (kh, kw), (dh, dw) = kernel(op), dilations(op)
    return dh * (kh - 1) + 1, dw * (kw - 1) + 1


def padded_window(op: Op, *, most: int) -> str | None:
    """With padding, the window is at most {most}×{most}.

    Fix: pad with a PAD of its own, or average in two steps.
    """
    if not any(padding(op)) or max(kernel(op)) <= most:
        return None
    return f"its window is {_by(kernel(op))}"


def unpadded_window(op: Op, *, height: int, product: int) -> str | None:
    """Without padding, the window has at most {height} rows and {product} places.

    Fix: pool in two steps.
    """
    h, w = kernel(op)
    return None if any(padding(op)) or (h <= height and h * w <= product) else f"its window is {h}×{w}"


def window(op: Op, *, height: int, product: int) -> str | None:
    """The window has at most {height} rows and {product} places.

    Fix: pool in two steps.
    """
    h, w = kernel(op)
    return None if h <= height and h * w <= product else f"its window is {h}×{w}"


def pooling_moves(op: Op) -> str | None:
    """A window of 1×1 has stride 1.

    Fix: use a STRIDED_SLICE to leave rows and columns out.
    """
    return "its window is 1×1" if kernel(op) == (1, 1) and strides(op) != (1, 1) else None


def same_dilations(op: Op) -> str | None:
    """The dilations over height and width are equal.

    Fix: change the network's dilations.
    """
    h, w = dilations(op)
    return None if h == w else f"they are {h} and {w}"


def transposed_stride(op: Op) -> str | None:
    """Strides are 1×1 or 2×2; 1×2 for one row of input and filter, 2×1 for one column.

    Fix: upsample with a RESIZE_NEAREST_NEIGHBOR and convolve.
    """
    (h, w), (kh, kw), (_, ih, iw, _) = strides(op), kernel(op), shape4(data(op))
    allowed = h == w or (h == 2 and iw == kw == 1) or (w == 2 and ih == kh == 1)
    return None if max(h, w) <= 2 and allowed else f"its strides are {h}×{w}"


def transposed_shape(op: Op) -> str | None:
    """The output is input × stride with SAME padding, input × stride + max(0, kernel − stride) with VALID.

    Fix: crop the output with a SLICE instead of in the op.
    """
    rows, columns = shape4(op.outputs[0])[1:3]
    want = [n * s for n, s in zip(shape4(data(op))[1:3], strides(op), strict=True)]
    if option(op, "padding", SAME) != SAME:
        want = [n + max(0, k - s) for n, k, s in zip(want, kernel(op), strides(op), strict=True)]
    return None if [rows, columns] == want else f"it is {rows}×{columns}, expected {_by(want)}"


def _by(numbers: Sequence[int]) -> str:
    return "×".join(str(n) for n in numbers)

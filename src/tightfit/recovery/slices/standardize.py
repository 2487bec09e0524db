"""Rows of one layer brought to one size: factor and offset go into its weights, and are given back behind.

For a layer ``y = W·x + b`` whose rows have different units, with ``f`` a power of two and ``m`` the middle of
each row,

    y' = (f·W)·x + f·(b − m),    y = y' / f + m.

``y'`` has rows of one size around zero, which one integer scale holds. The product by a power of two is
exact, so the float model answers the same within its own rounding. A layer with RELU built in keeps its zero:
there only ``f`` is used, as RELU(f·y) = f·RELU(y) for f > 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.graph.ops.activations import fused_activation

Vector = npt.NDArray[np.float64]

CHANNEL_AXIS: Final = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0}
BIAS: Final = {"CONV_2D": 2, "FULLY_CONNECTED": 2, "DEPTHWISE_CONV_2D": 2, "TRANSPOSE_CONV": 3}
_WEIGHT: Final = 1
_WORTH: Final = 2.0
_MOST: Final = 2.0**40


HEADROOM: Final = 4.5
"""Deviations from the mean that a row's span reaches at least: a hundred samples of a vector show about 2.5,
and one sample beyond the span costs more than coarser steps do. A normal row leaves it once in 150,000."""


def row_spans(values: Iterable[npt.NDArray[Any]], headroom: float = 0.0) -> tuple[Vector, Vector]:
    """Return the lowest and the highest value of each entry of the last axis.

    Args:
        values: one array a sample.
        headroom: standard deviations about the mean that a span reaches at least.

    Example:
        >>> [v.tolist() for v in row_spans([np.array([[1.0, 5.0]]), np.array([[3.0, 2.0]])])]
        [[1.0, 2.0], [3.0, 5.0]]
    """
    lows, highs, count = [], [], 0
    total = squares = np.zeros(1)
    for array in values:
        rows = array.reshape(-1, array.shape[-1]).astype(np.float64)
        lows.append(rows.min(axis=0))
        highs.append(rows.max(axis=0))
        count += len(rows)
        total, squares = total + rows.sum(axis=0), squares + np.square(rows).sum(axis=0)
    mean = total / count
    reach = headroom * np.sqrt(np.maximum(squares / count - np.square(mean), 0.0))
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    return (np.minimum(low, mean - reach), np.maximum(high, mean + reach)) if headroom else (low, high)


def can_standardize(tensor: Tensor) -> bool:
    """Return True for what a layer with constant weights writes, with no function built in but RELU."""
    op = tensor.producer
    if op is None or op.kind not in CHANNEL_AXIS or fused_activation(op) not in ("", "RELU"):
        return False
    weights, bias = op.input(_WEIGHT), op.input(BIAS[op.kind])
    constant = all(
        t is None or (t.is_constant and t.dtype == "float32" and t.sparsity is None) for t in (weights, bias)
    )
    return constant and weights is not None and len(weights.shape) > CHANNEL_AXIS[op.kind]


def factors(low: Vector, high: Vector, *, rectified: bool) -> tuple[Vector, Vector] | None:
    """Return factor and offset of each row, None where one scale already holds them all.

    Args:
        low: of each row.
        high: of each row.
        rectified: RELU is built in, so that zero must stay zero.
    """
    middle = np.zeros_like(low) if rectified else (low + high) / 2
    reach = np.maximum(high - middle, middle - low)
    moving = reach > 0
    if not moving.any():
        return None
    size = np.maximum(np.abs(low), np.abs(high))
    widest = float(reach[moving].max())
    uneven = widest > _WORTH * float(reach[moving].min())
    off_centre = bool((size[moving] > _WORTH * reach[moving]).any())
    if not (uneven or off_centre):
        return None
    ratio = np.where(moving, widest / np.where(moving, reach, 1.0), 1.0)
    factor = np.exp2(np.floor(np.log2(np.minimum(ratio, _MOST))))
    offset = np.where(size > _WORTH * reach, middle, 0.0) if not rectified else middle
    return factor, offset


def standardize(
    graph: Graph, tensor: Tensor, low: Vector, high: Vector
) -> tuple[Tensor, tuple[float, float]]:
    """Fold factor and offset of each row into the layer that writes a tensor; give them back behind it.

    Args:
        graph: changed, unless one scale already holds all rows.
        tensor: see ``can_standardize``.
        low: span of each row.
        high: see ``low``.

    Returns:
        what the layer writes now, and the range that holds the spans of all rows in it.
    """
    op = tensor.writer
    rectified = fused_activation(op) == "RELU"
    low = np.maximum(low, 0.0) if rectified else low
    found = factors(low, high, rectified=rectified)
    if found is None:
        return tensor, (float(low.min()), float(high.max()))
    spans = (low - found[1]) * found[0], (high - found[1]) * found[0]
    factor, offset = found[0].astype(np.float32), found[1].astype(np.float32)
    _fold(graph, op, factor, offset)
    raw = Tensor(f"{tensor.name}/standardized", tensor.shape, shape_signature=tensor.shape_signature)
    graph.set_output(op, 0, raw)
    _give_back(graph, op, raw, tensor, (np.float32(1) / factor, offset))
    return raw, (float(spans[0].min()), float(spans[1].max()))


def _fold(graph: Graph, op: Op, factor: npt.NDArray[np.float32], offset: npt.NDArray[np.float32]) -> None:
    axis, place = CHANNEL_AXIS[op.kind], BIAS[op.kind]
    weights, bias = op.operand(_WEIGHT), op.input(place)
    shape = [-1 if i == axis else 1 for i in range(len(weights.shape))]
    scaled = (weights.values * factor.reshape(shape)).astype(np.float32)
    graph.set_input(op, _WEIGHT, Tensor(weights.name, weights.shape, data=scaled))
    before = np.zeros(len(factor), np.float32) if bias is None or bias.data is None else bias.data.reshape(-1)
    # In float64: offset and bias are often nearly equal, and what is left of them counts.
    after = ((before.astype(np.float64) - offset) * factor).astype(np.float32)
    name = f"{op.name}/bias" if bias is None else bias.name
    graph.set_input(op, place, Tensor(name, after.shape, data=after))


def _give_back(
    graph: Graph,
    op: Op,
    raw: Tensor,
    tensor: Tensor,
    back: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
) -> None:
    factor, offset = back
    steps: list[tuple[str, npt.NDArray[np.float32], str]] = []
    if (factor != 1).any():
        steps.append(("MUL", factor, "MulOptions"))
    if offset.any() or not steps:
        steps.append(("ADD", offset, "AddOptions"))
    current, anchor = raw, op
    for index, (kind, values, table) in enumerate(steps):
        is_last = index == len(steps) - 1
        target = (
            tensor
            if is_last
            else Tensor(f"{tensor.name}/scaled", tensor.shape, shape_signature=tensor.shape_signature)
        )
        constant = Tensor(f"{tensor.name}/{kind.lower()}", values.shape, data=values)
        new = Op(kind, [current, constant], [target], {"fusedActivationFunction": 0}, table)
        graph.insert_after(anchor, new)
        current, anchor = target, new


def scale_rows(graph: Graph, op: Op, factor: npt.NDArray[np.float32]) -> None:
    """Multiply what a layer writes by a positive factor a row; exact with RELU or nothing built in."""
    _fold(graph, op, factor, np.zeros_like(factor))

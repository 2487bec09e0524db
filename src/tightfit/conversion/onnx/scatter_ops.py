"""ONNX ops that gather and scatter single elements: by constant indices a select, sums SCATTER_ND.

Source: the ScatterND, ScatterElements, GatherND and Col2Im documents of ONNX; ``scatter_nd.cc`` of LiteRT,
which adds updates of equal indices to zeros.
"""

from __future__ import annotations

import math
from typing import Any, Final

import jax.numpy as jnp
import numpy as np

from tightfit.conversion.onnx.onnx_values import OnnxNode, OnnxOp
from tightfit.conversion.stablehlo.composite_ops import as_op

_COMBINE: Final = {"add": "add", "mul": "multiply", "max": "maximum", "min": "minimum"}
_PLACES: Final = {"none": "set", "add": "add", "mul": "multiply", "max": "max", "min": "min"}


def _wrapped(indices: Any, sizes: Any) -> Any:
    """Indices from the end as those from the start; constants stay constants."""
    xp = np if isinstance(indices, np.ndarray) else jnp
    return xp.where(indices < 0, indices + sizes.astype(indices.dtype), indices)


def _scatter_nd(n: OnnxNode, x: Any, indices: Any, updates: Any) -> Any:
    depth = indices.shape[-1]
    sizes, rest = x.shape[:depth], x.shape[depth:]
    steps = np.cumprod([1, *sizes[:0:-1]])[::-1].astype(np.int32)
    wrapped = _wrapped(indices, np.asarray(sizes))
    flat = (wrapped * steps.astype(indices.dtype)).sum(axis=-1).reshape(-1)
    rows = x.reshape((math.prod(sizes), *rest))
    return _scattered(n, rows, flat, updates.reshape((-1, *rest))).reshape(x.shape)


def _scatter_elements(n: OnnxNode, x: Any, indices: Any, updates: Any) -> Any:
    axis = n.get("axis", 0) % x.ndim
    wrapped = _wrapped(indices, np.asarray(x.shape[axis]))
    steps = np.cumprod([1, *x.shape[:0:-1]])[::-1]
    grid = np.indices(indices.shape)
    offset = sum(grid[i] * steps[i] for i in range(x.ndim) if i != axis) + np.zeros(indices.shape, np.int64)
    flat = (wrapped * int(steps[axis]) + offset.astype(indices.dtype)).reshape(-1)
    return _scattered(n, x.reshape(-1), flat, updates.reshape(-1)).reshape(x.shape)


def _scattered(n: OnnxNode, rows: Any, flat: Any, updates: Any) -> Any:
    """Rows with updates at positions of the first dimension."""
    how = n.get("reduction", "none")
    if n.xp is np:
        target = np.array(rows)
        getattr(np, _COMBINE[how]).at(target, flat, updates) if how != "none" else target.__setitem__(
            flat, updates
        )
        return target
    if isinstance(flat, np.ndarray) and (how == "none" or len(np.unique(flat)) == flat.size):
        return _selected(how, rows, flat, updates)
    if how == "add":
        return rows + _sums(rows.shape, jnp.asarray(flat).astype(jnp.int32)[:, None], jnp.asarray(updates))
    return getattr(jnp.asarray(rows).at[flat], _PLACES[how])(updates)


def _selected(how: str, rows: Any, flat: Any, updates: Any) -> Any:
    """The update of each row is known beforehand; the last one of equal indices counts."""
    source = np.zeros(rows.shape[0], np.int32)
    source[flat] = np.arange(flat.size)
    hit = np.isin(np.arange(rows.shape[0]), flat).reshape((-1, *[1] * (rows.ndim - 1)))
    spread = jnp.take(jnp.asarray(updates), source, axis=0, mode="clip")
    new = spread if how == "none" else getattr(jnp, _COMBINE[how])(rows, spread)
    return jnp.where(np.broadcast_to(hit, rows.shape), new, rows)


def _sums(shape: tuple[int, ...], indices: Any, updates: Any) -> Any:
    def body(at: Any, values: Any) -> Any:
        return jnp.zeros(shape, values.dtype).at[at[:, 0]].add(values)

    return as_op("SCATTER_ND", body, indices, updates)


def _gather_nd(n: OnnxNode, x: Any, indices: Any) -> Any:
    count = n.get("batch_dims", 0)
    wrapped = _wrapped(indices, np.asarray(x.shape[count:][: indices.shape[-1]]))
    parts = list((np if isinstance(wrapped, np.ndarray) else jnp).moveaxis(wrapped, -1, 0))
    shape = parts[0].shape
    lead = [
        np.arange(shape[i]).reshape([-1 if j == i else 1 for j in range(len(shape))]) for i in range(count)
    ]
    return x[(*(np.broadcast_to(g, shape) for g in lead), *parts)]


def _col2im(n: OnnxNode, x: Any, image: Any, block: Any) -> Any:
    """Columns of patches added where they came from: one product with a constant matrix of 0 and 1."""
    sizes, kernel = n.numbers("image", image) or [], n.numbers("block", block) or []
    rank = len(sizes)
    strides, dilations = n.get("strides") or [1] * rank, n.get("dilations") or [1] * rank
    pads = n.get("pads") or [0] * (2 * rank)
    lines = []
    for i in range(rank):
        reach = (kernel[i] - 1) * dilations[i] + 1
        steps = (sizes[i] + pads[i] + pads[rank + i] - reach) // strides[i] + 1
        lines.append(np.arange(kernel[i])[:, None] * dilations[i] + np.arange(steps) * strides[i] - pads[i])
    rows: Any = np.zeros((1, 1), np.int64)
    inside: Any = np.ones((1, 1), bool)
    for line, size in zip(lines, sizes, strict=True):
        within = (line >= 0) & (line < size)
        rows = (rows[:, None, :, None] * size + line[None, :, None, :]).reshape(
            (rows.shape[0] * line.shape[0], -1)
        )
        inside = (inside[:, None, :, None] & within[None, :, None, :]).reshape(rows.shape)
    matrix = np.zeros((rows.size, math.prod(sizes)), np.float32)
    places = np.flatnonzero(inside)
    matrix[places, rows.reshape(-1)[places]] = 1
    patches = x.reshape((x.shape[0], x.shape[1] // math.prod(kernel), rows.size))
    return jnp.matmul(patches, matrix).reshape((*patches.shape[:2], *sizes))


SCATTERS: Final[dict[str, OnnxOp]] = {
    "Col2Im": OnnxOp(_col2im, note="sizes as constants"),
    "GatherND": OnnxOp(_gather_nd),
    "Scatter": OnnxOp(_scatter_elements),
    "ScatterElements": OnnxOp(_scatter_elements),
    "ScatterND": OnnxOp(_scatter_nd),
}

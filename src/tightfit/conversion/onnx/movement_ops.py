"""ONNX ops that move, cut and join values. One row an op. Shapes are known: their arithmetic is constant."""

from __future__ import annotations

from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import onnx

from tightfit.conversion.onnx.onnx_values import Layout, OnnxNode, OnnxOp


def _reshape(n: OnnxNode, x: Any, shape: Any = None) -> Any:
    wanted = n.numbers("shape", shape) or []
    if not n.get("allowzero", 0):
        wanted = [x.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    return x.reshape(wanted)


def _flatten(n: OnnxNode, x: Any) -> Any:
    axis = n.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape((int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))))


def _squeeze(n: OnnxNode, x: Any, axes: Any = None) -> Any:
    chosen = n.numbers("axes", axes)
    if chosen is None:
        return x.reshape(tuple(s for s in x.shape if s != 1))
    gone = {a % x.ndim for a in chosen}
    return x.reshape(tuple(s for i, s in enumerate(x.shape) if i not in gone))


def _unsqueeze(n: OnnxNode, x: Any, axes: Any = None) -> Any:
    chosen = n.numbers("axes", axes) or []
    rank = x.ndim + len(chosen)
    places = {a % rank for a in chosen}
    sizes = iter(x.shape)
    return x.reshape(tuple(1 if i in places else next(sizes) for i in range(rank)))


def _transpose(n: OnnxNode, x: Any) -> Any:
    order = n.get("perm") or list(range(x.ndim))[::-1]
    return n.xp.transpose(x, tuple(order))


def _concat(n: OnnxNode, *arrays: Any) -> Any:
    return n.xp.concatenate(arrays, axis=n.axis(n.get("axis", 0), arrays[0].ndim))


def _split(n: OnnxNode, x: Any, sizes: Any = None) -> Any:
    axis = n.axis(n.get("axis", 0), x.ndim)
    parts = n.numbers("split", sizes)
    if parts is None:
        count = n.get("num_outputs") or n.outputs
        size = -(-x.shape[axis] // count)
        parts = [min(size, x.shape[axis] - i * size) for i in range(count)]
    cuts = [int(c) for c in np.cumsum(parts)[:-1]]
    return tuple(n.xp.split(x, cuts, axis=axis))


def _slice(n: OnnxNode, x: Any, *given: Any) -> Any:
    names = ("starts", "ends", "axes", "steps")
    padded = (*given, *[None] * (4 - len(given)))
    starts, ends, axes, steps = (n.numbers(k, v) for k, v in zip(names, padded, strict=True))
    if starts is None or ends is None:
        raise n.refuse("has no starts and ends")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    place: list[slice] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        at = n.axis(axis, x.ndim)
        place[at] = _python_slice(start, end, step, x.shape[at])
    return x[tuple(place)]


def _python_slice(start: int, end: int, step: int, size: int) -> slice:
    """A slice with ONNX's clamping: an end before the first element is None for a negative step."""
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    end = max(end, -1)
    return slice(min(start, size - 1), None if end < 0 else end, step)


def _gather(n: OnnxNode, x: Any, indices: Any) -> Any:
    axis = n.get("axis", 0) % x.ndim
    if isinstance(indices, np.ndarray):
        indices = np.where(indices < 0, indices + x.shape[axis], indices)
        if indices.ndim == 0:  # a slice says the same and is cheaper
            return x[(slice(None),) * axis + (int(indices),)]
        if n.xp is np:
            return np.take(x, indices, axis=axis)
        return _constant_gather(x, indices, axis)
    return jnp.take(x, indices, axis=axis, mode="clip")


def _constant_gather(x: Any, indices: Any, axis: int) -> Any:
    """Slices where the indices are a run with one step, else a gather."""
    steps: Any = np.unique(np.diff(indices)) if indices.ndim == 1 else ()
    if len(steps) == 1 and steps[0] > 0:
        run = slice(int(indices[0]), int(indices[-1]) + 1, int(steps[0]))
        return x[(slice(None),) * axis + (run,)]
    return jnp.take(x, indices, axis=axis, mode="clip")


def _gather_elements(n: OnnxNode, x: Any, indices: Any) -> Any:
    axis = n.get("axis", 0) % x.ndim
    wrapped = n.xp.where(indices < 0, indices + x.shape[axis], indices)
    return n.xp.take_along_axis(x, wrapped, axis=axis)


def _expand(n: OnnxNode, x: Any, shape: Any) -> Any:
    wanted = np.broadcast_shapes(tuple(x.shape), tuple(n.numbers("shape", shape) or ()))
    return x if wanted == tuple(x.shape) else n.xp.broadcast_to(x, wanted)


def _tile(n: OnnxNode, x: Any, repeats: Any) -> Any:
    return n.xp.tile(x, tuple(n.numbers("repeats", repeats) or ()))


def _pad(n: OnnxNode, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    widths = n.numbers("pads", pads) or []
    fill = n.get("value", 0.0) if value is None else float(n.constant(value, "fill value").reshape(()))
    chosen = n.numbers("axes", axes) or list(range(x.ndim))
    half = len(widths) // 2
    table = [(0, 0)] * x.ndim
    for i, axis in enumerate(chosen):
        table[n.axis(axis, x.ndim)] = (widths[i], widths[half + i])
    mode = n.get("mode", "constant")
    if any(w < 0 for pair in table for w in pair):
        return _cropped(x, table)
    if mode == "constant":
        return n.xp.pad(x, table, constant_values=np.asarray(fill, x.dtype))
    return n.xp.pad(x, table, mode=mode)


def _cropped(x: Any, table: list[tuple[int, int]]) -> Any:
    place = tuple(slice(max(-a, 0), s - max(-b, 0)) for (a, b), s in zip(table, x.shape, strict=True))
    return jnp.pad(x[place], [(max(a, 0), max(b, 0)) for a, b in table])


def _shape(n: OnnxNode, x: Any) -> Any:
    return np.asarray(x.shape[n.get("start", 0) : n.get("end")], np.int64)


def _constant(n: OnnxNode) -> Any:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if name in n.attributes:
            value = np.asarray(n.attributes[name])
            return value.astype(np.float32) if name in ("value_float", "value_floats") else value
    raise n.refuse("holds a value of a kind that has no numbers (a string or a sparse tensor)")


def _constant_of_shape(n: OnnxNode, shape: Any) -> Any:
    value = n.get("value")
    fill = np.zeros(1, np.float32) if value is None else np.asarray(value)
    return np.full(n.numbers("shape", shape) or (), fill.reshape(-1)[0], fill.dtype)


def _range(n: OnnxNode, start: Any, limit: Any, delta: Any) -> Any:
    first, last, step = (n.constant(v, "limits").reshape(()) for v in (start, limit, delta))
    return np.arange(first.item(), last.item(), step.item(), dtype=first.dtype)


def _one_hot(n: OnnxNode, indices: Any, depth: Any, values: Any) -> Any:
    count = int(n.constant(depth, "depth").reshape(-1)[0])
    off, on = n.constant(values, "values").reshape(-1)
    hot = jax.nn.one_hot(jnp.asarray(indices) % count, count, axis=n.get("axis", -1), dtype=values.dtype)
    return hot * (on - off) + off


def _depth_to_space(n: OnnxNode, x: Any) -> Any:
    """On (N, H, W, C): the block's place is the slow part of the channels in DCR, the fast one in CRD."""
    b, (count, height, width, depth) = n.get("blocksize"), x.shape
    if n.get("mode", "DCR") == "DCR":
        split = x.reshape((count, height, width, b, b, depth // b**2))
        moved = jnp.transpose(split, (0, 1, 3, 2, 4, 5))
    else:
        split = x.reshape((count, height, width, depth // b**2, b, b))
        moved = jnp.transpose(split, (0, 1, 4, 2, 5, 3))
    return moved.reshape((count, height * b, width * b, depth // b**2))


def _space_to_depth(n: OnnxNode, x: Any) -> Any:
    b, (count, height, width, depth) = n.get("blocksize"), x.shape
    split = x.reshape((count, height // b, b, width // b, b, depth))
    return jnp.transpose(split, (0, 1, 3, 2, 4, 5)).reshape((count, height // b, width // b, depth * b * b))


def _top_k(n: OnnxNode, x: Any, k: Any = None) -> Any:
    count = n.get("k") if k is None else int(n.constant(k, "k").reshape(-1)[0])
    axis = n.get("axis", -1) % x.ndim
    moved = jnp.moveaxis(x, axis, -1)
    largest = n.get("largest", 1)
    values, places = jax.lax.top_k(moved if largest else -moved, count)
    return tuple(jnp.moveaxis(v, -1, axis) for v in (values if largest else -values, places))


def _triangle(n: OnnxNode, x: Any, k: Any = None) -> Any:
    diagonal = 0 if k is None else int(n.constant(k, "diagonal").reshape(()))
    rows, columns = x.shape[-2:]
    keep = np.tri(rows, columns, diagonal - n.get("upper", 1), dtype=bool)
    keep = ~keep if n.get("upper", 1) else keep
    return n.xp.where(keep, x, np.zeros((), x.dtype))


def _compress(n: OnnxNode, x: Any, condition: Any) -> Any:
    chosen = np.flatnonzero(n.constant(condition, "condition"))
    axis = n.get("axis")
    flat, place = (x.reshape(-1), 0) if axis is None else (x, axis % x.ndim)
    return n.xp.take(flat, chosen, axis=place)


def _reversed(n: OnnxNode, x: Any, lengths: Any) -> Any:
    """Each row of the batch reversed over its length, which is a constant."""
    time, batch = n.get("time_axis", 0), n.get("batch_axis", 1)
    counts = n.constant(lengths, "lengths").reshape(-1)
    at = np.arange(x.shape[time])
    rows = [np.where(at < c, c - 1 - at, at) for c in counts]
    if all(np.array_equal(row, rows[0]) for row in rows):
        return n.xp.flip(x, time) if counts[0] == at.size else n.xp.take(x, rows[0], axis=time)
    parts = n.xp.split(x, len(rows), axis=batch)
    return n.xp.concatenate(
        [n.xp.take(p, r, axis=time) for p, r in zip(parts, rows, strict=True)], axis=batch
    )


def _eye_like(n: OnnxNode, x: Any) -> Any:
    dtype, (rows, columns) = n.get("dtype"), x.shape
    kind = x.dtype if dtype is None else onnx.helper.tensor_dtype_to_np_dtype(dtype)
    return np.eye(rows, columns, n.get("k", 0)).astype(kind)


def _centred(n: OnnxNode, x: Any, shape: Any) -> Any:
    """Cropped where a size is smaller, padded where it is larger, around the centre."""
    wanted = n.numbers("shape", shape) or []
    axes = n.get("axes") or list(range(x.ndim))
    place, pads = [slice(None)] * x.ndim, [(0, 0)] * x.ndim
    for axis, size in zip(axes, wanted, strict=True):
        at = n.axis(axis, x.ndim)
        more = size - x.shape[at]
        if more > 0:
            pads[at] = (more // 2, more - more // 2)
        else:
            place[at] = slice(-more // 2, -more // 2 + size)
    return n.xp.pad(x[tuple(place)], pads)


MOVES: Final[dict[str, OnnxOp]] = {
    "CenterCropPad": OnnxOp(_centred, Layout.AXES, "shape as a constant"),
    "Compress": OnnxOp(_compress, note="condition as a constant"),
    "Concat": OnnxOp(_concat, Layout.AXES),
    "Constant": OnnxOp(_constant),
    "ConstantOfShape": OnnxOp(_constant_of_shape),
    "DepthToSpace": OnnxOp(_depth_to_space, Layout.STORED),
    "Expand": OnnxOp(_expand),
    "EyeLike": OnnxOp(_eye_like),
    "Flatten": OnnxOp(_flatten),
    "Gather": OnnxOp(_gather),
    "GatherElements": OnnxOp(_gather_elements),
    "OneHot": OnnxOp(_one_hot),
    "Pad": OnnxOp(_pad, Layout.AXES, "pads as constants"),
    "Range": OnnxOp(_range, note="of constants"),
    "Reshape": OnnxOp(_reshape, note="shape as a constant"),
    "ReverseSequence": OnnxOp(_reversed, note="lengths as constants"),
    "Shape": OnnxOp(_shape),
    "Size": OnnxOp(lambda _, x: np.asarray(int(np.prod(x.shape)), np.int64)),
    "Slice": OnnxOp(_slice, Layout.AXES, "bounds as constants"),
    "SpaceToDepth": OnnxOp(_space_to_depth, Layout.STORED),
    "Split": OnnxOp(_split, Layout.AXES),
    "Squeeze": OnnxOp(_squeeze),
    "Tile": OnnxOp(_tile),
    "TopK": OnnxOp(_top_k),
    "Transpose": OnnxOp(_transpose),
    "Trilu": OnnxOp(_triangle),
    "Unsqueeze": OnnxOp(_unsqueeze),
}

"""ONNX Resize and Upsample: every mode and coordinate on (N, H, W, C).

Where the sampling is exactly that of RESIZE_NEAREST_NEIGHBOR or RESIZE_BILINEAR, that op is written; else the
sampling points, which are known beforehand, become gathers and weights, or a product with a matrix for each
dimension (cubic, antialias, crops).

Source: the Resize document of ONNX for the coordinates; ``resize_bilinear.h`` and
``resize_nearest_neighbor.h`` of LiteRT for the ops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import jax.numpy as jnp
import numpy as np

from tightfit.conversion.onnx.onnx_values import Layout, OnnxNode, OnnxOp
from tightfit.conversion.onnx.resize_matrices import sampling_matrix
from tightfit.conversion.stablehlo.composite_ops import as_op
from tightfit.conversion.stablehlo.resizing import resize_bilinear, resize_nearest

Line = np.ndarray[Any, Any]


def _resize(n: OnnxNode, x: Any, *given: Any) -> Any:
    mode = _text(n.get("mode", "nearest"))
    old = x.shape[1:-1]
    new, scales = _sizes(n, old, given)
    crops = _crops(n, len(old), given)
    if new == tuple(old) and crops is None:
        return x
    ends = crops or [(0.0, 1.0)] * len(old)
    places = [_coordinates(n, o, w, s, e) for o, w, s, e in zip(old, new, scales, ends, strict=True)]
    if crops is None and mode == "nearest":
        return _nearest(n, x, new, places)
    if crops is None and mode == "linear" and not n.get("antialias", 0):
        return _linear(x, new, places)
    return _products(n, mode, x, list(zip(places, scales, strict=True)), cropped=crops is not None)


def _products(n: OnnxNode, mode: str, x: Any, lines: list[tuple[Line, float]], *, cropped: bool) -> Any:
    """One product with a constant matrix for each dimension that changes."""
    outside = [(p < 0) | (p > s - 1) for (p, _), s in zip(lines, x.shape[1:-1], strict=True)]
    for axis, (places, scale) in enumerate(lines, 1):
        if mode == "nearest":
            matrix = np.eye(x.shape[axis], dtype=np.float32)[_rounded(n, places, x.shape[axis])]
        else:
            shrinks = scale if n.get("antialias", 0) else 1.0
            settings = (
                float(n.get("cubic_coeff_a", -0.75)),
                min(shrinks, 1.0),
                bool(n.get("exclude_outside", 0)),
            )
            matrix = sampling_matrix(mode, places, x.shape[axis], *settings)
        x = jnp.moveaxis(jnp.tensordot(x, matrix, axes=(axis, 1)), -1, axis)
    if not cropped:
        return x
    gone: Any = np.zeros((1,) * x.ndim, bool)
    for axis, line in enumerate(outside, 1):
        gone = gone | line.reshape([-1, *[1] * (x.ndim - 1 - axis)])
    fill = np.float32(n.get("extrapolation_value", 0.0))
    return jnp.where(np.broadcast_to(gone, (1, *x.shape[1:])), fill, x)


def _crops(n: OnnxNode, rank: int, given: Sequence[Any]) -> list[tuple[float, float]] | None:
    """Where the crop starts and ends in each spatial dimension, as fractions; None where none is made."""
    if _text(n.get("coordinate_transformation_mode", "")) != "tf_crop_and_resize":
        return None
    box = np.asarray(n.constant(given[0], "crop"), np.float64).reshape(2, -1)
    axes = n.get("axes")
    if axes is not None:
        whole = np.array([[0.0] * (rank + 2), [1.0] * (rank + 2)])
        whole[:, [a % (rank + 2) for a in axes]] = box
        box = whole
    return [(float(a), float(b)) for a, b in zip(*box[:, -rank:], strict=True)]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _sizes(n: OnnxNode, old: Sequence[int], given: Sequence[Any]) -> tuple[tuple[int, ...], list[float]]:
    """The new spatial sizes, and the scales that the coordinates are computed with."""
    scales = n.get("scales")
    sizes = None
    arrays = [g for g in given if g is not None and np.asarray(n.constant(g, "size")).size]
    if n.kind == "Upsample" or n.opset < 11:
        scales = n.constant(arrays[0], "scales") if arrays else scales
    elif len(given) > 2 and given[2] is not None and np.asarray(given[2]).size:
        sizes = n.constant(given[2], "sizes")
    elif len(given) > 1 and given[1] is not None and np.asarray(given[1]).size:
        scales = n.constant(given[1], "scales")
    if sizes is None and scales is None:
        raise n.refuse("has neither scales nor sizes")
    rank = len(old) + 2
    axes = [
        a % rank
        for a in n.get("axes") or range(rank - len(np.asarray(sizes if scales is None else scales)), rank)
    ]
    if sizes is not None:
        return _wanted(n, old, dict(zip(axes, (int(s) for s in sizes), strict=True)))
    by_axis = dict(zip(axes, (float(s) for s in np.asarray(scales).reshape(-1)), strict=True))
    factors = [by_axis.get(i, 1.0) for i in range(2, rank)]
    return tuple(int(np.floor(o * f)) for o, f in zip(old, factors, strict=True)), factors


def _wanted(n: OnnxNode, old: Sequence[int], sizes: dict[int, int]) -> tuple[tuple[int, ...], list[float]]:
    """Sizes by axis, with the aspect ratio kept where the node asks for it."""
    policy = _text(n.get("keep_aspect_ratio_policy", "stretch"))
    given = {i - 2: s for i, s in sizes.items() if i >= 2}
    if policy == "stretch":
        new = tuple(given.get(i, o) for i, o in enumerate(old))
        return new, [w / o for w, o in zip(new, old, strict=True)]
    choose = min if policy == "not_larger" else max
    scale = choose(s / old[i] for i, s in given.items())
    new = tuple(int(np.floor(scale * o + 0.5)) if i in given else o for i, o in enumerate(old))
    return new, [scale if i in given else 1.0 for i in range(len(old))]


def _coordinates(n: OnnxNode, old: int, new: int, scale: float, ends: tuple[float, float]) -> Line:
    """Where each new position lies in the old image."""
    mode = _text(n.get("coordinate_transformation_mode", "half_pixel" if n.opset >= 11 else "asymmetric"))
    at = np.arange(new, dtype=np.float64)
    if mode == "asymmetric":
        return np.asarray(at / scale)
    if mode == "align_corners":
        return at * (old - 1) / (new - 1) if new > 1 else np.zeros(new)
    if mode == "pytorch_half_pixel" and new == 1:
        return np.zeros(1)
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return np.asarray((at + 0.5) / scale - 0.5)
    if mode == "half_pixel_symmetric":
        shift = old / 2 * (1 - new / (scale * old))
        return np.asarray(shift + (at + 0.5) / scale - 0.5)
    if mode == "tf_crop_and_resize":
        first, last = (end * (old - 1) for end in ends)
        return first + at * ((last - first) / (new - 1)) if new > 1 else np.full(1, (first + last) / 2)
    raise n.refuse(f"has the coordinates '{mode}'")


def _rounded(n: OnnxNode, places: Line, size: int) -> Line:
    """The element that each place takes."""
    how = _text(n.get("nearest_mode", "round_prefer_floor" if n.opset >= 11 else "floor"))
    rounding: dict[str, Callable[[Any], Any]] = {
        "round_prefer_floor": lambda v: np.ceil(v - 0.5), "round_prefer_ceil": lambda v: np.floor(v + 0.5),
        "floor": np.floor, "ceil": np.ceil,
    }  # fmt: skip
    return np.asarray(np.clip(rounding[how](places), 0, size - 1), np.int64)


def _nearest(n: OnnxNode, x: Any, new: tuple[int, ...], places: list[Line]) -> Any:
    sizes = x.shape[1:-1]
    chosen = [_rounded(n, p, s) for p, s in zip(places, sizes, strict=True)]
    half = [
        (np.arange(w, dtype=np.float32) + np.float32(0.5)) * np.float32(s / w)
        for w, s in zip(new, sizes, strict=True)
    ]
    straight = [np.arange(w, dtype=np.float32) * np.float32(s / w) for w, s in zip(new, sizes, strict=True)]
    if x.ndim == 4 and _equal(chosen, half, sizes):
        return resize_nearest(x, new)
    if x.ndim == 4 and _equal(chosen, straight, sizes):
        body = partial(_picked_from, sizes=new)
        return as_op("RESIZE_NEAREST_NEIGHBOR", body, x, half=0, corners=0)
    return _picked(x, chosen)


def _equal(chosen: list[Line], kernel: list[Line], sizes: Sequence[int]) -> bool:
    """Whether a kernel that rounds down takes the chosen elements."""
    taken = (np.minimum(np.floor(k), s - 1) for k, s in zip(kernel, sizes, strict=True))
    return all(np.array_equal(a, b) for a, b in zip(chosen, taken, strict=True))


def _picked_from(x: Any, sizes: tuple[int, ...]) -> Any:
    """What RESIZE_NEAREST_NEIGHBOR computes without half pixels and aligned corners, of no constants."""
    for axis, new in enumerate(sizes, 1):
        line = jnp.floor(jnp.arange(new, dtype=jnp.float32) * (x.shape[axis] / new)).astype(jnp.int32)
        x = jnp.take(x, line, axis=axis, mode="clip")
    return x


def _picked(x: Any, chosen: list[Line]) -> Any:
    for axis, line in enumerate(chosen, 1):
        x = jnp.take(x, line, axis=axis, mode="clip")
    return x


def _linear(x: Any, new: tuple[int, ...], places: list[Line]) -> Any:
    sizes = x.shape[1:-1]
    lines = [np.clip(p, 0, s - 1) for p, s in zip(places, sizes, strict=True)]
    half = [np.clip((np.arange(w) + 0.5) * (s / w) - 0.5, 0, s - 1) for w, s in zip(new, sizes, strict=True)]
    ends = [np.arange(w) * ((s - 1) / max(w - 1, 1)) for w, s in zip(new, sizes, strict=True)]
    straight = [np.clip(np.arange(w) * (s / w), 0, s - 1) for w, s in zip(new, sizes, strict=True)]
    for corners, kernel in ((False, half), (True, ends)):
        if x.ndim == 4 and _close(lines, kernel):
            return resize_bilinear(x, new, corners=corners)
    if x.ndim == 4 and _close(lines, straight):
        return as_op("RESIZE_BILINEAR", partial(_blended_from, sizes=new), x, half=0, corners=0)
    return _blended(x, lines)


def _close(lines: list[Line], kernel: list[Line]) -> bool:
    return all(np.allclose(a, b, atol=1e-6) for a, b in zip(lines, kernel, strict=True))


def _blended_from(x: Any, sizes: tuple[int, ...]) -> Any:
    """What RESIZE_BILINEAR computes without half pixels and aligned corners, of no constants."""
    for axis, new in enumerate(sizes, 1):
        old = x.shape[axis]
        place = jnp.minimum(jnp.arange(new, dtype=jnp.float32) * (old / new), old - 1)
        nearness = jnp.maximum(0, 1 - abs(place[:, None] - jnp.arange(old, dtype=jnp.float32)))
        x = jnp.moveaxis(jnp.tensordot(x, nearness, axes=(axis, 1)), -1, axis)
    return x


def _blended(x: Any, lines: list[Line]) -> Any:
    """Linear between the neighbours, one dimension after the other."""
    for axis, line in enumerate(lines, 1):
        low = np.floor(line).astype(np.int64)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        weight = (line - low).astype(np.float32).reshape([-1, *[1] * (x.ndim - 1 - axis)])
        left, right = (jnp.take(x, i, axis=axis, mode="clip") for i in (low, high))
        x = left + (right - left) * weight
    return x


RESIZES: Final[dict[str, OnnxOp]] = {
    "Resize": OnnxOp(_resize, Layout.STORED, "sizes as constants"),
    "Upsample": OnnxOp(_resize, Layout.STORED, "scales as constants"),
}

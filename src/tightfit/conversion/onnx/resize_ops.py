"""ONNX Resize and Upsample: nearest and linear, every coordinate mode, on (N, H, W, C).

Where the sampling is exactly that of RESIZE_NEAREST_NEIGHBOR or RESIZE_BILINEAR, that op is written; else the
sampling points, which are known beforehand, become gathers and weights.

Source: the Resize document of ONNX for the coordinates; ``resize_bilinear.h`` and
``resize_nearest_neighbor.h`` of LiteRT for the ops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import jax.numpy as jnp
import numpy as np

from tightfit.conversion.onnx.onnx_values import Layout, OnnxNode, OnnxOp
from tightfit.conversion.stablehlo.resizing import resize_bilinear, resize_nearest

Line = np.ndarray[Any, Any]


def _resize(n: OnnxNode, x: Any, *given: Any) -> Any:
    mode = _text(n.get("mode", "nearest"))
    if mode not in ("nearest", "linear"):
        raise n.refuse(f"resizes by '{mode}'; nearest and linear are covered")
    if n.get("antialias", 0) or _text(n.get("coordinate_transformation_mode", "")) == "tf_crop_and_resize":
        raise n.refuse("resizes with antialias or a crop")
    old = x.shape[1:-1]
    new, scales = _sizes(n, old, given)
    if new == tuple(old):
        return x
    places = [_coordinates(n, o, w, s) for o, w, s in zip(old, new, scales, strict=True)]
    if mode == "nearest":
        return _nearest(n, x, new, places)
    return _linear(x, new, places)


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
    if n.get("axes") is not None or _text(n.get("keep_aspect_ratio_policy", "stretch")) != "stretch":
        raise n.refuse("resizes chosen axes or keeps the aspect ratio")
    if sizes is not None:
        new = tuple(int(s) for s in sizes[-len(old) :])
        return new, [w / o for w, o in zip(new, old, strict=True)]
    if scales is None:
        raise n.refuse("has neither scales nor sizes")
    factors = [float(s) for s in np.asarray(scales).reshape(-1)[-len(old) :]]
    return tuple(int(np.floor(o * f)) for o, f in zip(old, factors, strict=True)), factors


def _coordinates(n: OnnxNode, old: int, new: int, scale: float) -> Line:
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
    raise n.refuse(f"has the coordinates '{mode}'")


def _nearest(n: OnnxNode, x: Any, new: tuple[int, ...], places: list[Line]) -> Any:
    how = _text(n.get("nearest_mode", "round_prefer_floor" if n.opset >= 11 else "floor"))
    rounding: dict[str, Callable[[Any], Any]] = {
        "round_prefer_floor": lambda v: np.ceil(v - 0.5), "round_prefer_ceil": lambda v: np.floor(v + 0.5),
        "floor": np.floor, "ceil": np.ceil,
    }  # fmt: skip
    sizes = x.shape[1:-1]
    chosen = [
        np.clip(rounding[how](p), 0, s - 1).astype(np.int64) for p, s in zip(places, sizes, strict=True)
    ]
    kernel = [
        np.minimum((np.arange(w) + 0.5) * (s / w), s - 1).astype(np.int64)
        for w, s in zip(new, sizes, strict=True)
    ]
    if x.ndim == 4 and all(np.array_equal(a, b) for a, b in zip(chosen, kernel, strict=True)):
        return resize_nearest(x, new)
    return _picked(x, chosen)


def _picked(x: Any, chosen: list[Line]) -> Any:
    for axis, line in enumerate(chosen, 1):
        x = jnp.take(x, line, axis=axis, mode="clip")
    return x


def _linear(x: Any, new: tuple[int, ...], places: list[Line]) -> Any:
    lines = [np.clip(p, 0, s - 1) for p, s in zip(places, x.shape[1:-1], strict=True)]
    sizes = x.shape[1:-1]
    half = [np.clip((np.arange(w) + 0.5) * (s / w) - 0.5, 0, s - 1) for w, s in zip(new, sizes, strict=True)]
    ends = [np.arange(w) * ((s - 1) / max(w - 1, 1)) for w, s in zip(new, sizes, strict=True)]
    for corners, kernel in ((False, half), (True, ends)):
        if x.ndim == 4 and all(np.allclose(a, b, atol=1e-6) for a, b in zip(lines, kernel, strict=True)):
            return resize_bilinear(x, new, corners=corners)
    return _blended(x, lines)


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
    "Resize": OnnxOp(_resize, Layout.STORED, "nearest and linear; sizes as constants"),
    "Upsample": OnnxOp(_resize, Layout.STORED, "nearest and linear; scales as constants"),
}
